"""Quantizing for real, with NNCF, on a network of a few layers and on one that was converted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args, get_type_hints

import cv2
import msgspec
import numpy as np
import pytest
from bundle_factory import edit_manifest
from tiny_model import CLASS_NAMES

import edgeblend
from edgeblend import AccuracyError, Bundle, ConversionError, EngineError, InputError, OutputError, Recipe
from edgeblend.calibration.evaluation.recording import run_graphs
from edgeblend.calibration.evaluation.sqnr import SqnrTally
from edgeblend.calibration.sampling.sample import sample_frames
from edgeblend.runtime.sessions import open_sessions

pytest.importorskip("nncf")

from small_bundle import BASIS_LAYERS, DETECTOR_LAYERS, frames, write_small_bundle  # noqa: E402 - as above

from edgeblend.converters.openvino import toolkit  # noqa: E402
from edgeblend.converters.openvino.layers import layer_name  # noqa: E402
from edgeblend.runtime.backends.openvino import compile_model, layer_precisions  # noqa: E402

QUICK = Recipe(name="quick", bias_correction="none")
BASIS_ALONE = Recipe(name="basis", bias_correction="none", detector="fp32")
LONG_WORK = "edgeblend.converters.openvino.toolkit._run_pipeline"


def quick(**changes):
    return msgspec.structs.replace(QUICK, **changes)


def layers_in_float(bundle, part) -> set[str]:
    """The layers that the engine really computes in float."""
    precisions = layer_precisions(compile_model(toolkit.read_model(bundle.graph_files(part))))
    names = set(toolkit.layer_names(toolkit.read_model(bundle.graph_files(part))))
    in_float = {layer_name(name) for name, kind in precisions.items() if kind not in ("i8", "u8")}
    return names & in_float


def worst_db(bundle, other, pictures) -> float:
    """The lowest SQNR of any output."""
    tally = SqnrTally()
    one, two = open_sessions(bundle), open_sessions(other)
    for picture in pictures:
        tally.add(run_graphs(one, bundle.manifest, picture), run_graphs(two, other.manifest, picture))
    return min(output.db for output in tally.outputs())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def size_of(bundle) -> int:
    return sum(file.size for file in bundle.manifest.files)


# What comes out


@pytest.mark.long
def test_a_converted_network_runs_in_int8(tiny_bundle, tiny_int8, photograph):
    with edgeblend.Segmenter.load(tiny_int8.path) as segmenter:
        assert {part: info.precision for part, info in segmenter.info.parts.items()} == {
            "detector": "int8+f32",
            "basis": "int8+f32",
        }
        instances = segmenter(photograph)
    assert len(instances) > 0
    assert np.isfinite(instances.mask_probs).all()
    assert set(instances.names) <= set(CLASS_NAMES)
    made = tiny_int8.manifest.quantization
    assert made.quantized_layers == {"detector": 47, "basis": 6}
    assert made.float_layers == {"detector": (), "basis": ()}
    for part in ("detector", "basis"):
        assert layers_in_float(tiny_int8, part) == set()
        assert len(layers_in_float(tiny_bundle, part)) == made.quantized_layers[part]
    assert size_of(tiny_int8) < 0.4 * size_of(tiny_bundle)


def test_dense_attention_of_frames_of_any_size(tmp_path):
    source = write_small_bundle(tmp_path / "float", attention="dense", dynamic=True)
    recipe = quick(float_roles=("attention",))
    given = [*frames(3), *frames(3, size=(96, 64))]
    made = edgeblend.quantize(source, tmp_path / "made", calibration=given, recipe=recipe)
    assert made.manifest.quantization.float_layers == {"detector": ("top_layer",), "basis": ()}
    assert layers_in_float(made, "detector") == {"top_layer"}
    assert layers_in_float(made, "basis") == set()
    assert not (made.folder / "attention.safetensors").exists()
    with edgeblend.Segmenter.load(made) as segmenter:
        assert segmenter.info.canvas is None
        for picture in (given[0], given[3], *frames(1, size=(64, 64))):
            instances = segmenter(picture)
            assert instances.frame_size == picture.shape[:2]
            assert len(instances) > 0


def test_the_graphs_keep_their_inputs_and_outputs(small_bundle, small_int8):
    for part in ("detector", "basis"):
        before, after = small_bundle.graph(part), small_int8.graph(part)
        assert (after.inputs, after.outputs, after.format) == (before.inputs, before.outputs, before.format)
        assert (before.precision, after.precision) == ("fp32", "int8")
        ports = [
            [(port.get_names(), port.get_element_type(), port.get_partial_shape()) for port in ports]
            for model in (
                toolkit.read_model(bundle.graph_files(part)) for bundle in (small_bundle, small_int8)
            )
            for ports in (model.inputs, model.outputs)
        ]
        assert ports[:2] == ports[2:]


def test_everything_else_of_the_bundle_stays(small_bundle, small_int8):
    before, after = small_bundle.manifest, small_int8.manifest
    changed = {"graphs", "tools", "quantization"}
    for name in set(before.__struct_fields__) - changed:
        assert getattr(before, name) == getattr(after, name), name
    assert after.tools == {**before.tools, "nncf": after.tools["nncf"]}
    assert (small_int8.folder / "attention.safetensors").read_bytes() == (
        small_bundle.folder / "attention.safetensors"
    ).read_bytes()


def test_the_manifest_says_what_happened(small_int8, small_pictures):
    made = small_int8.manifest.quantization
    assert made.recipe.name == "int8"
    taken = made.calibration
    with sample_frames(small_pictures) as expected:
        assert (taken.source, taken.sha256) == (f"the 6 pictures of {small_pictures}", expected.digest)
    assert (taken.frames, taken.seen, taken.unreadable, taken.near_duplicates, taken.seed) == (6, 6, 0, 0, 0)
    for part, names in {"detector": DETECTOR_LAYERS, "basis": BASIS_LAYERS}.items():
        kept = made.float_layers[part]
        assert layers_in_float(small_int8, part) == set(kept) < set(names)
        assert made.quantized_layers[part] == len(names) - len(kept)
    assert made.measured.frames == 6
    assert 50 < made.measured.agreement < 100
    assert [noise.tensor for noise in made.measured.tensors] == [
        spec.name for part in ("detector", "basis") for spec in small_int8.graph(part).outputs
    ]
    assert all(10 < noise.sqnr_db < 80 for noise in made.measured.tensors)
    assert made.search is None


def test_the_measured_noise_is_that_of_the_graphs(small_bundle, small_int8, small_pictures):
    measured = [noise.sqnr_db for noise in small_int8.manifest.quantization.measured.tensors]
    with sample_frames(small_pictures) as chosen:
        worst = worst_db(small_bundle, small_int8, [frame.picture for frame in chosen])
    assert min(measured) == pytest.approx(worst, abs=0.01)


def test_the_same_seed_and_frames_make_the_same_files(small_bundle, tmp_path):
    """The tests of the command line compare two processes, too."""
    one, again = (
        edgeblend.quantize(
            small_bundle, tmp_path / name, calibration=frames(4), recipe=quick(bias_correction="fast")
        )
        for name in ("one", "again")
    )
    assert content(one.folder) == content(again.folder)


def test_other_frames_make_another_bundle(small_bundle, tmp_path):
    """The control of the test above: what is compared there depends on the frames."""
    one, other = (
        edgeblend.quantize(
            small_bundle, tmp_path / f"{seed}", calibration=frames(4, seed=seed), recipe=BASIS_ALONE
        )
        for seed in (1, 2)
    )
    files = [content(bundle.folder) for bundle in (one, other)]
    assert {name for name in files[0] if files[0][name] != files[1][name]} >= {"manifest.json", "basis.bin"}
    assert one.manifest.quantization.calibration.sha256 != other.manifest.quantization.calibration.sha256


def test_frames_like_those_to_come_make_a_better_bundle(small_bundle, tmp_path):
    """Ranges of black pictures cut off what others have."""
    black = [np.full((64, 96, 3), grey, np.uint8) for grey in (0, 6, 12)]
    lit, dark = (
        edgeblend.quantize(
            small_bundle,
            tmp_path / name,
            calibration=sample_frames(given, near_duplicates="keep"),
            recipe=QUICK,
        )
        for name, given in (("lit", frames(16)), ("dark", black))
    )
    assert dark.manifest.quantization.calibration.frames == 3
    pictures = frames(4, seed=5)
    assert worst_db(small_bundle, lit, pictures) > worst_db(small_bundle, dark, pictures) + 10


def test_a_zip_file(small_bundle, small_pictures, tmp_path):
    out = tmp_path / "int8.zip"
    made = edgeblend.quantize(small_bundle, out, calibration=small_pictures, recipe=BASIS_ALONE)
    assert (made.path, [path.name for path in tmp_path.iterdir()]) == (out, ["int8.zip"])
    assert Bundle.load(out).manifest == made.manifest
    with edgeblend.Segmenter.load(out) as segmenter:
        assert segmenter.info.parts["basis"].precision == "int8+f32"


def test_frames_and_bundle_as_paths_in_steps(small_bundle, small_pictures, tmp_path):
    steps = []
    made = edgeblend.quantize(
        str(small_bundle.path),
        tmp_path / "int8",
        calibration=str(small_pictures / "*.png"),
        recipe=BASIS_ALONE,
        count=4,
        every=2,
        seed=3,
        progress=steps.append,
    )
    taken = made.manifest.quantization.calibration
    assert (taken.frames, taken.seen, taken.seed) == (3, 3, 3)
    assert taken.source.startswith("1 in 2 of the 6 pictures of ")
    assert steps == [
        "choosing calibration frames",
        "quantizing the basis graph",
        "comparing with the float bundle",
    ]


def test_a_set_that_was_sampled_before_is_left_open(small_bundle, tmp_path):
    with sample_frames(iter(frames(3))) as chosen:
        made = edgeblend.quantize(small_bundle, tmp_path / "int8", calibration=chosen, recipe=BASIS_ALONE)
        assert made.manifest.quantization.calibration.sha256 == chosen.digest
        assert len(list(chosen)) == 3


def test_a_folder_whose_name_is_no_text(small_bundle, small_pictures, tmp_path):
    folder = tmp_path / b"pictures \xff".decode(errors="surrogateescape")
    try:
        shutil.copytree(small_pictures, folder)
    except OSError:
        pytest.skip("this file system takes no such name")
    made = edgeblend.quantize(small_bundle, tmp_path / "int8", calibration=folder, recipe=BASIS_ALONE)
    assert made.manifest.quantization.calibration.source.endswith(r"pictures \udcff")


# What stays in float


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("part", ["detector", "basis"])
def test_a_part_in_float(part, precision, small_bundle, tmp_path):
    recipe = quick(**{part: precision})
    made = edgeblend.quantize(small_bundle, tmp_path / "made", calibration=frames(3), recipe=recipe)
    (other,) = {"detector", "basis"} - {part}
    assert {name: graph.precision for name, graph in made.manifest.graphs.items()} == {
        part: precision,
        other: "int8",
    }
    quantization = made.manifest.quantization
    assert set(quantization.float_layers) == set(quantization.quantized_layers) == {other}
    with edgeblend.Segmenter.load(made) as segmenter:
        assert segmenter.info.parts[part].precision == "f32"
        assert segmenter.info.parts[other].precision == "int8+f32"
    sizes = [bundle.graph(part).files[1].size for bundle in (small_bundle, made)]
    assert sizes[1] == sizes[0] if precision == "fp32" else sizes[1] < 0.6 * sizes[0]


def test_a_part_in_float32_gives_the_same_numbers(small_bundle, tmp_path):
    recipe = quick(basis="fp32")
    made = edgeblend.quantize(small_bundle, tmp_path / "made", calibration=frames(3), recipe=recipe)
    noise = {one.tensor: one.sqnr_db for one in made.manifest.quantization.measured.tensors}
    assert noise["cls_logits_p3"] is not None
    item = {"p3": np.random.default_rng(0).normal(size=(1, 8, 8, 12)).astype(np.float32)}
    before, after = (
        np.array(open_sessions(bundle)["basis"].run(item)["bases"]) for bundle in (small_bundle, made)
    )
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("options", "detector", "basis"),
    [
        ({"float_layers": ("head.*",)}, {name for name in DETECTOR_LAYERS if "head" in name}, set()),
        ({"float_layers": ("backbone.stem", "*.0")}, {"backbone.stem"}, {"basis_module.tower.0"}),
        ({"float_roles": ("box_reg", "bases")}, {"head.bbox_pred"}, {"basis_module.tower.2"}),
        ({"float_roles": ("attention",)}, set(), set()),  # sparse: no graph computes it
    ],
)
def test_layers_in_float(options, detector, basis, small_bundle, tmp_path):
    made = edgeblend.quantize(small_bundle, tmp_path / "made", calibration=frames(3), recipe=quick(**options))
    for part, kept in (("detector", detector), ("basis", basis)):
        assert set(made.manifest.quantization.float_layers[part]) == kept
        assert layers_in_float(made, part) == kept


def test_layers_that_cost_too_much_alone_stay_in_float(small_bundle, tmp_path):
    costs = {
        layer.layer: layer.sqnr_db
        for layer in edgeblend.measure_sensitivity(small_bundle, calibration=frames(4), recipe=QUICK)
        if layer.graph == "detector"
    }
    limit = sorted(costs.values())[2] + 0.01
    recipe = quick(basis="fp32", float_below_db={"detector": limit})
    made = edgeblend.quantize(small_bundle, tmp_path / "made", calibration=frames(4), recipe=recipe)
    kept = made.manifest.quantization.float_layers["detector"]
    assert set(kept) == {name for name, db in costs.items() if db < limit}
    assert len(kept) == 3
    assert made.manifest.quantization.recipe.float_below_db == {"detector": limit}


# Options of NNCF


def test_range_estimators_make_a_difference(small_bundle):
    model = toolkit.read_model(small_bundle.graph_files("basis"))
    items = basis_items(6)
    items[0]["p3"] *= 30  # from 3 to some 90
    highest = {}
    for name in get_args(get_type_hints(Recipe)["range_estimator"]):
        made = toolkit.quantize_model(model, items, quick(range_estimator=name), float_layers=(), arriving={})
        (node,) = [node for node in made.get_ops() if node.get_friendly_name() == "p3/fq_output_0"]
        highest[name] = float(node.input_value(2).get_node().data.max())
    assert highest["minmax"] == pytest.approx(items[0]["p3"].max(), rel=0.1)
    assert highest["mean_minmax"] < 0.3 * highest["minmax"]
    assert highest["median_minmax"] < 0.3 * highest["mean_minmax"]
    assert highest["mean_no_outliers"] < 0.3 * highest["mean_minmax"]
    assert 0 < highest["histogram"] <= highest["minmax"]


@pytest.mark.parametrize(
    ("options", "highest"), [({}, 64), ({"overflow_safe": False}, 127), ({"per_channel": False}, 64)]
)
def test_half_of_the_weights_range_is_used_where_products_could_overflow(options, highest, small_bundle):
    model = toolkit.read_model(small_bundle.graph_files("basis"))
    made = toolkit.quantize_model(model, basis_items(3), quick(**options), float_layers=(), arriving={})
    weights = [node.data for node in made.get_ops() if node.get_type_name() == "Constant"]
    weights = [data.astype(int) for data in weights if data.dtype == np.int8]
    assert len(weights) == 3
    for values in weights:
        channels = np.abs(values).reshape(len(values), -1).max(axis=1)
        if options.get("per_channel", True):
            assert ((channels >= highest - 1) & (channels <= highest)).all()
        else:
            assert channels.max() <= highest and channels.min() < highest - 1


def basis_items(count):
    random = np.random.default_rng(0)
    return [{"p3": random.normal(size=(1, 8, 8, 12)).astype(np.float32)} for _ in range(count)]


@pytest.mark.parametrize(("count", "looked_at"), [(5, 5), (25, 20), (75, 20)])
def test_bias_correction_holds_no_more_frames_when_there_are_more(
    count, looked_at, small_bundle, monkeypatch
):
    from nncf.quantization.algorithms.bias_correction.algorithm import BiasCorrection

    held = []
    original = BiasCorrection._create_feed_dicts

    def spy(self, *args):
        feeds = original(self, *args)
        held.append(len(feeds))
        return feeds

    monkeypatch.setattr(BiasCorrection, "_create_feed_dicts", spy)
    model = toolkit.read_model(small_bundle.graph_files("basis"))
    toolkit.quantize_model(
        model, basis_items(count), quick(bias_correction="accurate"), float_layers=(), arriving={}
    )
    assert held == [looked_at] * 3


def test_bias_correction_takes_the_shift_off(small_bundle):
    model = toolkit.read_model(small_bundle.graph_files("basis"))
    items = basis_items(8)

    def means(graph):
        compiled = compile_model(graph)
        return np.mean([compiled(item)[0] for item in items], axis=(0, 1, 3, 4))

    shifts = {}
    for kind in ("none", "fast", "accurate"):
        made = toolkit.quantize_model(model, items, quick(bias_correction=kind), float_layers=(), arriving={})
        shifts[kind] = float(np.abs(means(made) - means(model)).mean())
    assert shifts["accurate"] < 0.3 * shifts["none"]
    assert shifts["fast"] != shifts["none"]  # which knows nothing of padding, and so is no gain here


def test_the_float_graph_is_not_changed(small_bundle):
    model = toolkit.read_model(small_bundle.graph_files("basis"))
    before = [node.get_friendly_name() for node in model.get_ordered_ops()]
    toolkit.quantize_model(model, basis_items(2), QUICK, float_layers=(), arriving={})
    with toolkit.each_alone(model, small_bundle.graph("basis"), basis_items(2), QUICK):
        pass
    assert [node.get_friendly_name() for node in model.get_ordered_ops()] == before


def test_it_keeps_quiet_and_leaves_the_log_as_it_was(small_bundle, capfd):
    import logging

    logger = logging.getLogger("nncf")
    level = logger.level
    model = toolkit.read_model(small_bundle.graph_files("basis"))
    toolkit.quantize_model(
        model, basis_items(2), quick(bias_correction="accurate"), float_layers=(), arriving={}
    )
    assert capfd.readouterr() == ("", "")
    assert logger.level == level


def test_what_the_toolkit_cannot_do_is_a_conversion_error(small_bundle):
    model = toolkit.read_model(small_bundle.graph_files("basis"))
    wrong = [{"p3": np.zeros((1, 3, 8, 12), np.float32)}] * 2
    with pytest.raises(ConversionError, match="NNCF cannot quantize the graph: "):
        toolkit.quantize_model(model, wrong, QUICK, float_layers=(), arriving={})


# A search


@pytest.mark.long
def test_a_search_returns_layers_to_float_until_the_drop_is_allowed(small_bundle, tmp_path):
    plain = edgeblend.quantize(small_bundle, tmp_path / "plain", calibration=frames(3), recipe=QUICK)
    lost = 100 - plain.manifest.quantization.measured.agreement
    allowed = 0.6 * lost
    made = edgeblend.quantize(
        small_bundle, tmp_path / "made", calibration=frames(3), recipe=QUICK, max_drop=allowed
    )
    quantization = made.manifest.quantization
    found = quantization.search
    assert (found.metric, found.pictures, found.max_drop) == ("agreement", 3, allowed)
    assert 0 <= found.drop <= allowed < lost
    assert found.drop == pytest.approx(100 - quantization.measured.agreement, abs=1e-3)
    first = found.steps[0]
    assert (first.graph, first.returned, first.float_layers) == ("detector", (), 0)
    assert first.drop > 0.8 * allowed
    assert [step.graph for step in found.steps] == sorted((step.graph for step in found.steps), reverse=True)
    for part, limit in (("detector", 0.8 * allowed), ("basis", allowed)):
        held = [step for step in found.steps if step.graph == part and step.drop <= limit]
        fewest = min(held, key=lambda step: step.float_layers)
        assert fewest.float_layers == len(quantization.float_layers[part])
        assert set(fewest.returned) == set(quantization.float_layers[part])
        assert layers_in_float(made, part) == set(quantization.float_layers[part])
    assert 0 < len(quantization.float_layers["detector"]) < len(DETECTOR_LAYERS)


def test_a_search_that_need_not_search(small_bundle, small_labels, tmp_path):
    made = edgeblend.quantize(
        small_bundle,
        tmp_path / "made",
        calibration=frames(4),
        recipe=QUICK,
        max_drop=90,
        images=small_labels / "pictures",
        annotations=small_labels / "labels.json",
    )
    found = made.manifest.quantization.search
    assert (found.metric, found.pictures) == ("average precision", 3)
    assert [(step.graph, step.returned, step.float_layers) for step in found.steps] == [
        ("detector", (), 0),
        ("basis", (), 0),
    ]
    assert found.steps[0].drop > 0
    assert found.steps[1].drop == found.drop < 90


def test_nothing_is_left_where_no_choice_of_layers_is_good_enough(small_bundle, tmp_path):
    out = tmp_path / "folder" / "made"
    with pytest.raises(AccuracyError, match="nothing was written"):
        edgeblend.quantize(small_bundle, out, calibration=frames(3), recipe=BASIS_ALONE, max_drop=1e-6)
    assert list(tmp_path.iterdir()) == []


def test_no_drop_is_measured_where_nothing_is_found(small_bundle, tmp_path, no_quantizing):
    other = edit_threshold(small_bundle, tmp_path / "deaf", 0.9999)
    with pytest.raises(InputError, match="detects nothing on any of 3 pictures"):
        edgeblend.quantize(other, tmp_path / "made", calibration=frames(3), recipe=BASIS_ALONE, max_drop=5)
    assert not (tmp_path / "made").exists()


def test_a_graph_is_calibrated_on_all_frames_where_nothing_is_found(small_bundle, tmp_path):
    other = edit_threshold(small_bundle, tmp_path / "deaf", 0.9999)
    made = edgeblend.quantize(other, tmp_path / "made", calibration=frames(3), recipe=QUICK)
    assert made.manifest.quantization.measured.agreement == 100  # nothing, and nothing
    assert layers_in_float(made, "basis") == set()


def edit_threshold(bundle, out, threshold):
    shutil.copytree(bundle.folder, out)
    decode = json.loads((out / "manifest.json").read_text())["decode"]
    edit_manifest(out, decode={**decode, "score_threshold": threshold})
    return Bundle.load(out)


# What is refused, before the long work


@pytest.fixture
def no_quantizing(monkeypatch):
    def fail(*args):
        raise AssertionError("the long work has begun")

    monkeypatch.setattr(LONG_WORK, fail)


@pytest.mark.usefixtures("no_quantizing")
class TestRefused:
    def test_a_bundle_that_is_quantized(self, small_int8, tmp_path):
        with pytest.raises(InputError, match="is quantized already, with the recipe 'int8'"):
            edgeblend.quantize(small_int8, tmp_path / "made", calibration=frames(3))

    def test_a_bundle_with_rounded_weights(self, small_bundle, tmp_path):
        shutil.copytree(small_bundle.folder, tmp_path / "half")
        graphs = json.loads((tmp_path / "half" / "manifest.json").read_text())["graphs"]
        edit_manifest(
            tmp_path / "half", graphs={**graphs, "detector": {**graphs["detector"], "precision": "fp16"}}
        )
        with pytest.raises(InputError, match="weights of the detector graph were rounded to fp16"):
            edgeblend.quantize(tmp_path / "half", tmp_path / "made", calibration=frames(3))

    def test_no_bundle(self, tmp_path):
        with pytest.raises(edgeblend.BundleError, match="no such bundle"):
            edgeblend.quantize(tmp_path / "nowhere", tmp_path / "made", calibration=frames(3))

    @pytest.mark.parametrize("given", ["picture", "folder", "list", "sampled"])
    def test_one_picture(self, given, small_bundle, tmp_path):
        (picture,) = frames(1)
        (tmp_path / "one").mkdir()
        cv2.imwrite(str(tmp_path / "one" / "1.png"), picture)
        calibration = {
            "picture": tmp_path / "one" / "1.png",
            "folder": tmp_path / "one",
            "list": [picture],
            "sampled": sample_frames([picture]),
        }[given]
        with pytest.raises(InputError, match="one picture cannot show what ranges others need; give 100"):
            edgeblend.quantize(small_bundle, tmp_path / "made", calibration=calibration)

    def test_twenty_copies_of_one_picture(self, small_bundle, tmp_path):
        (tmp_path / "copies").mkdir()
        for number in range(20):
            cv2.imwrite(str(tmp_path / "copies" / f"{number:02}.png"), frames(1)[0])
        with pytest.raises(InputError, match=r"one picture \(19 others look like it\) cannot show"):
            edgeblend.quantize(small_bundle, tmp_path / "made", calibration=str(tmp_path / "copies"))

    @pytest.mark.parametrize(
        ("calibration", "words"),
        [
            ("empty", "no pictures found"),
            ("nowhere", "nowhere"),
            ([], "expected at least one frame, got none"),
        ],
    )
    def test_no_frames(self, calibration, words, small_bundle, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match=words):
            edgeblend.quantize(small_bundle, tmp_path / "made", calibration=calibration)

    def test_what_is_there_already(self, small_bundle, tmp_path):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "notes.txt").write_text("mine")
        with pytest.raises(OutputError, match="already exists"):
            edgeblend.quantize(small_bundle, tmp_path / "made", calibration=frames(3))
        with pytest.raises(OutputError, match="is not a bundle, so it is not overwritten"):
            edgeblend.quantize(small_bundle, tmp_path / "made", calibration=frames(3), overwrite=True)
        assert (tmp_path / "made" / "notes.txt").read_text() == "mine"

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"toolkit": "abacus"}, "unknown toolkit 'abacus'; known are nncf"),
            ({"float_layers": ("head.boxes",)}, "keeps 'head.boxes' in float, but no layer is called that"),
            ({"detector": "fp32", "basis": "fp16"}, "leaves both graphs in float"),
            (
                {"float_layers": ("*",)},
                r"keeps all layers of the detector graph in float.* \(detector: fp32\)",
            ),
            (
                {"detector": "fp32", "float_layers": ("basis*",)},
                r"keeps all layers of the basis graph in float.* \(basis: fp32\)",
            ),
        ],
    )
    def test_a_recipe_that_cannot_be_followed(self, changes, words, small_bundle, tmp_path):
        with pytest.raises(InputError, match=words):
            edgeblend.quantize(
                small_bundle, tmp_path / "made", calibration=frames(3), recipe=quick(**changes)
            )

    def test_graphs_that_the_toolkit_does_not_take(self, small_bundle, tmp_path):
        recipe = Recipe(name="other", toolkit="nncf-onnx")
        with pytest.raises(InputError, match="graphs of format onnx, the detector graph is 'openvino-ir'"):
            edgeblend.quantize(small_bundle, tmp_path / "made", calibration=frames(3), recipe=recipe)

    @pytest.mark.parametrize(
        "options",
        [{"max_drop": 0}, {"max_drop": 101}, {"images": "val"}, {"count": 0}, {"seed": -1}, {"every": 0}],
    )
    def test_options(self, options, small_bundle, tmp_path):
        with pytest.raises(InputError):
            edgeblend.quantize(small_bundle, tmp_path / "made", calibration=frames(3), **options)

    @pytest.fixture(autouse=True)
    def nothing_is_left(self, tmp_path):
        yield
        left = {path.name for path in tmp_path.iterdir()}
        assert left <= {"half", "one", "copies", "empty", "other", "made"}
        made = tmp_path / "made"
        assert not made.exists() or [path.name for path in made.iterdir()] == ["notes.txt"]


def test_no_layer_would_be_left_in_int8(small_bundle, tmp_path):
    """By what layers cost alone, which takes work to know."""
    with pytest.raises(InputError, match="'quick' keeps all layers of the detector graph in float"):
        edgeblend.quantize(
            small_bundle,
            tmp_path / "made",
            calibration=frames(2),
            recipe=quick(float_below_db={"detector": 1e6, "basis": 1e6}),
        )
    assert list(tmp_path.iterdir()) == []


# When it fails or is interrupted


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("edgeblend.converters.openvino.toolkit.quantize_model", KeyboardInterrupt),
        ("edgeblend.converters.openvino.toolkit.save_model", KeyboardInterrupt),
        ("edgeblend.converters.quantize.quantize.measure_agreement", KeyboardInterrupt),
        ("edgeblend.converters.quantize.quantize.encode_manifest", KeyboardInterrupt),
        ("edgeblend.converters.openvino.toolkit.quantize_model", ConversionError("no")),
        ("edgeblend.converters.openvino.toolkit.quantize_model", MemoryError),
    ],
)
def test_nothing_is_left_behind(where, error, small_bundle, tmp_path, monkeypatch):
    import tempfile

    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    calls = []

    def fail(*args, **options):
        calls.append(where)
        raise error

    monkeypatch.setattr(where, fail)
    kind = error if isinstance(error, type) else type(error)
    with pytest.raises(kind):
        edgeblend.quantize(
            small_bundle,
            tmp_path / "new" / "made",
            calibration=iter(frames(2)),  # whose frames are copied to a temporary folder
            recipe=BASIS_ALONE,
        )
    assert len(calls) == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["temp"]


def test_what_was_there_survives_a_failure(small_bundle, small_int8, tmp_path, monkeypatch):
    shutil.copytree(small_int8.folder, tmp_path / "made")
    before = content(tmp_path / "made")
    options = {"calibration": frames(2), "recipe": BASIS_ALONE, "overwrite": True}
    with monkeypatch.context() as patch:
        patch.setattr("edgeblend.converters.quantize.quantize.measure_agreement", interrupt)
        with pytest.raises(KeyboardInterrupt):
            edgeblend.quantize(small_bundle, tmp_path / "made", **options)
    assert content(tmp_path / "made") == before
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    edgeblend.quantize(small_bundle, tmp_path / "made", **options)
    assert content(tmp_path / "made") != before


def interrupt(*args, **options):
    raise KeyboardInterrupt


def test_sessions_are_closed(small_bundle, tmp_path, monkeypatch):
    from edgeblend.runtime.backends import openvino

    opened = []
    original = openvino.OpenVinoSession.__init__

    def remember(self, *args):
        original(self, *args)
        opened.append(self)

    monkeypatch.setattr(openvino.OpenVinoSession, "__init__", remember)
    edgeblend.quantize(small_bundle, tmp_path / "made", calibration=frames(2), recipe=BASIS_ALONE)
    assert len(opened) == 4
    for session in opened:
        with pytest.raises(EngineError, match="closed"):
            session.run({})
