import json
from importlib.resources import files

import msgspec
import pytest
from bundle_factory import make_quantization, write_tiny_bundle

from edgeblend.bundle import Bundle
from edgeblend.converters.quantize.recipe_files import check_layer_patterns, load_recipe, recipe_names
from edgeblend.errors import InputError
from edgeblend.manifest import decode_manifest, encode_manifest
from edgeblend.recipe import Recipe

SHIPPED = files("edgeblend.converters.quantize") / "recipes"
LAYERS = ("backbone.stem", "backbone.body", "head.cls_logits", "head.bbox_pred")


def test_the_shipped_recipes():
    assert recipe_names() == ("int8", "int8-accurate")


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_is_what_its_file_says(name):
    content = json.loads((SHIPPED / "openvino" / f"{name}.json").read_text())
    recipe = load_recipe(name)
    assert recipe.name == content["name"] == name
    assert {key: getattr(recipe, key) for key in content} == content
    left_out = set(Recipe.__struct_fields__) - set(content)
    plain = Recipe(name=name)
    assert {key: getattr(recipe, key) for key in left_out} == {key: getattr(plain, key) for key in left_out}


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"name": "mine", "basis": "fp16", "float_roles": ["bases"], "float_layers": ["head.*"]}')
    expected = Recipe(name="mine", basis="fp16", float_roles=("bases",), float_layers=("head.*",))
    assert load_recipe(path) == load_recipe(str(path)) == expected


def test_a_recipe_that_is_handed_in_is_taken_as_it_is():
    recipe = Recipe(name="mine", float_below_db={"detector": 20})
    assert load_recipe(recipe) is recipe


def test_a_file_that_is_called_like_a_shipped_one_needs_its_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "int8").write_text('{"name": "mine"}')
    assert load_recipe("int8").name == "int8"
    assert load_recipe("./int8").name == "mine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"name": "mine", "bias": "fast"}', "unknown field `bias`"),
        ('{"name": ""}', "Expected `str` of length >= 1 - at `$.name`"),
        ('{"name": "mine", "toolkit": ""}', "Expected `str` of length >= 1 - at `$.toolkit`"),
        (
            '{"name": "mine", "float_layers": [""]}',
            "length >= 1 - at `$.float_layers[0]`",
        ),
        ('{"name": "mine", "float_below_db": {"detector": 1e999}}', "Number out of range"),
        ('{"name": "mine", "float_below_db": {"detector": NaN}}', "malformed"),
        ('{"name": "mine", "x": ' + "[" * 100_000, "not a recipe"),
        ('{"name": "mine", "bias_correction": "some"}', "Invalid enum value 'some' - at `$.bias_correction`"),
        ('{"name": "mine", "float_layers": "head.*"}', "Expected `array`, got `str` - at `$.float_layers`"),
        (
            '{"name": "mine", "float_roles": ["boxes"]}',
            "Invalid enum value 'boxes' - at `$.float_roles",
        ),
        ('{"name": "mine", "float_below_db": "35"}', "`$.float_below_db`"),
        ("{}", "missing required field `name`"),
        ("[]", "Expected `object`, got `array`"),
        ("name: mine", "not a recipe: "),
        ("", "not a recipe: "),
    ],
)
def test_what_is_no_recipe_names_the_place_and_the_keys(text, words, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(InputError) as failure:
        load_recipe(path)
    message = str(failure.value)
    assert message.startswith(f"{path}: not a recipe: ")
    assert words in message
    assert message.endswith(f"; its keys are {', '.join(Recipe.__struct_fields__)}")


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(b'{"name": "\xff\xfe"}')
    with pytest.raises(InputError, match=r"mine\.json: not a recipe: "):
        load_recipe(path)


@pytest.mark.parametrize("name", ["int4", "recipes/mine.json", ""])
def test_no_such_recipe_lists_the_shipped(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no such recipe; expected int8, int8-accurate, a JSON file"):
        load_recipe(name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"activations": "odd"}, r"'mine': not a recipe: Invalid enum value 'odd' - at `\$\.activations`"),
        ({"detector": "int4"}, r"`\$\.detector`"),
        ({"float_layers": "head.*"}, r"`\$\.float_layers`"),
        ({"float_below_db": {"detector": float("inf")}}, "'mine': expected finite decibels, got inf"),
        ({"float_below_db": {"basis": float("nan")}}, "expected finite decibels, got nan"),
    ],
)
def test_wrong_values_of_one_that_is_handed_in(changes, words):
    """Python checks none of them, and a manifest could not be read back."""
    with pytest.raises(InputError, match=words):
        load_recipe(Recipe(**{"name": "mine", **changes}))


# Layers by pattern


@pytest.mark.parametrize("pattern", ["backbone.stem", "head.*", "*logits", "*"])
def test_patterns_that_match_something(pattern):
    check_layer_patterns(Recipe(name="mine", float_layers=(pattern,)), LAYERS)


def test_a_pattern_that_matches_nothing_names_what_is_close():
    recipe = Recipe(name="mine", float_layers=("head.*", "head.box_pred"))
    with pytest.raises(InputError) as failure:
        check_layer_patterns(recipe, LAYERS)
    assert str(failure.value).startswith(
        "recipe 'mine' keeps 'head.box_pred' in float, but no layer is called that; close are head.bbox_pred"
    )
    assert "edgeblend sensitivity" in str(failure.value)


@pytest.mark.parametrize("pattern", ["stem", "HEAD.*", "head.cls_logits.weight"])
def test_names_are_whole_and_their_case_counts(pattern):
    with pytest.raises(InputError, match="no layer is called that"):
        check_layer_patterns(Recipe(name="mine", float_layers=(pattern,)), LAYERS)


def test_nothing_is_close_to_nonsense():
    with pytest.raises(InputError) as failure:
        check_layer_patterns(Recipe(name="mine", float_layers=("0/0",)), LAYERS)
    assert "close are" not in str(failure.value)


# In a manifest


def test_a_manifest_keeps_it(tmp_path):
    recipe = Recipe(
        name="mine",
        activations="symmetric",
        per_channel=False,
        overflow_safe=False,
        bias_correction="fast",
        range_estimator="mean_minmax",
        basis="fp16",
        float_roles=("attention",),
        float_below_db={"basis": 12.5},
        float_layers=("head.*",),
    )
    assert all(getattr(recipe, key) != getattr(Recipe(name="int8"), key) for key in (
        set(Recipe.__struct_fields__) - {"toolkit", "detector"}
    ))  # fmt: skip
    manifest = Bundle.load(write_tiny_bundle(tmp_path / "tiny")).manifest
    made = msgspec.structs.replace(manifest, quantization=make_quantization(recipe=recipe))
    assert decode_manifest(encode_manifest(made), source="m").quantization.recipe == recipe
