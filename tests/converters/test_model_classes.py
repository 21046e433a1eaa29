"""The classes of a bundle: what was named, what is assumed, and that the assumption is said."""

import dataclasses
import json
from collections import UserList

import pytest

from edgeblend.class_list import ClassList
from edgeblend.classes import COCO_STUFF, COCO_THING_IDS, COCO_THINGS
from edgeblend.converters.model_classes import choose_classes, read_class_names
from edgeblend.errors import ConfigError, InputError
from edgeblend.model.config import PUBLISHED, load_config


def config_of(count, name="R_50_1x"):
    config = load_config(name)
    return dataclasses.replace(config, fcos=dataclasses.replace(config.fcos, num_classes=count))


def test_eighty_classes_are_assumed_to_be_cocos_and_said_to_be():
    found = choose_classes(config_of(80), None)
    assert (found.things, found.category_ids, found.stuff) == (COCO_THINGS, COCO_THING_IDS, ())
    assert found.notes == (
        "class names: assumed to be COCO's 80, since the model has as many classes; give class names "
        "(--class-names) if it was trained on others",
    )


def test_nothing_is_assumed_of_classes_that_were_named():
    found = choose_classes(config_of(2), ClassList(("box", "disc"), (7, 3)))
    assert (found.things, found.category_ids, found.notes) == (("box", "disc"), (7, 3), ())
    assert choose_classes(config_of(2), ClassList(("box", "disc"), None)).category_ids == (1, 2)
    assert choose_classes(config_of(80), ClassList(COCO_THINGS, None)).category_ids == COCO_THING_IDS


def test_what_else_is_assumed():
    person = next(name for name in PUBLISHED if name.startswith("Person"))
    found = choose_classes(load_config(person), None)
    assert found.things == ("person",) and found.category_ids == (1,)
    assert [note.split(",")[0] for note in found.notes] == ["class names: assumed to be 'person'"]
    panoptic = next(name for name in PUBLISHED if name.startswith("Panoptic"))
    found = choose_classes(load_config(panoptic), ClassList(COCO_THINGS, None))
    assert found.stuff == COCO_STUFF
    assert found.notes == ("stuff classes: assumed to be COCO panoptic's 53, since the model has as many",)


def test_stuff_that_is_not_cocos():
    panoptic = load_config(next(name for name in PUBLISHED if name.startswith("Panoptic")))
    other = dataclasses.replace(panoptic, semantic=dataclasses.replace(panoptic.semantic, num_classes=7))
    with pytest.raises(ConfigError, match="7 semantic classes are not supported"):
        choose_classes(other, None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "2 classes and not COCO's 80"),
        (ClassList(("box",), None), "the model has 2 classes, got 1 names: box; give one per class"),
        (ClassList(tuple("abcdefg"), None), "got 7 names: a, b, c, d, e, ...;"),
        (ClassList(("box", "box"), None), "'box' is given more than once"),
        (ClassList(("box", " "), None), "a name is empty"),
        (ClassList(("box", "disc"), (3, 3)), "category id 3 is given more than once"),
        (ClassList(("box", "disc"), (3,)), "1 category ids for 2 classes"),
        (ClassList(("box", "disc"), (3, -(2**63) - 1)), "-9223372036854775809 does not fit into 64 bits"),
    ],
)
def test_what_does_not_fit(given, message):
    with pytest.raises(InputError, match=message):
        choose_classes(config_of(2), given)


@pytest.mark.parametrize("ids", [(-(2**63), 2**63 - 1), (0, -1)])
def test_ids_of_64_bits(ids):
    assert choose_classes(config_of(2), ClassList(("box", "disc"), ids)).category_ids == ids


def test_names_and_ids_as_they_are_given(tmp_path):
    (tmp_path / "classes.txt").write_text("3\tbox\n7\tdisc\n")
    (tmp_path / "names.txt").write_text("box\ndisc\n")
    whole = ClassList(("box", "disc"), (3, 7))
    assert read_class_names(None, None) is None
    assert read_class_names(tmp_path / "classes.txt", None) == whole
    assert read_class_names(str(tmp_path / "classes.txt"), None) == whole
    assert read_class_names(tmp_path / "names.txt", [3, 7]) == whole
    assert read_class_names(UserList(["box", "disc"]), range(3, 8, 4)) == whole
    lines = (tmp_path / "classes.txt").read_text().split("\n")
    assert read_class_names(lines, None) == whole
    with pytest.raises(InputError, match="category_ids: class_names has ids already"):
        read_class_names(lines, [3, 7])
    with pytest.raises(InputError, match="category_ids: .* has ids already; give one or the other"):
        read_class_names(tmp_path / "classes.txt", [3, 7])


def coco(*categories, used=()):
    document = {
        "images": [],
        "categories": [{"id": i, "name": name, "supercategory": above} for i, name, above in categories],
        "annotations": [{"id": 1, "image_id": 1, "category_id": i} for i in used],
    }
    return json.dumps(document).encode()


BOX, DISC = (3, "box", "things"), (7, "disc", "things")


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (coco(DISC, BOX), 0),  # by id, as training orders them
        (b"\xef\xbb\xbf" + coco(BOX, DISC), 0),
        (coco((0, "things", "none"), BOX, DISC), 1),  # Roboflow's root category is no class
        (coco((0, "box", "none"), BOX, DISC, used=(3, 7)), 1),  # nor is one that is called like a class
        (b'{"categories": [{"id": 3, "name": "box"}, {"id": 7, "name": "disc"}]}', 0),
    ],
)
@pytest.mark.parametrize("name", ["train.json", "TRAIN.JSON", "classes.txt"])
def test_a_coco_data_set(tmp_path, name, content, notes):
    (tmp_path / name).write_bytes(content)
    found = read_class_names(tmp_path / name, None)
    assert (found.names, found.category_ids) == (("box", "disc"), (3, 7))
    assert len(found.notes) == notes
    assert choose_classes(config_of(2), found).notes == found.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'["box", "disc"]', "not COCO's format"),
        (b'{"names": ["box"]}', "not COCO's format"),
        (b'{"categories": []}', "expected at least one category"),
        (b"{box", "not a JSON file"),
        (b"", "not a JSON file"),
    ],
)
def test_a_json_file_that_is_no_data_set(tmp_path, content, message):
    (tmp_path / "names.json").write_bytes(content)
    with pytest.raises(InputError, match=f"names.json: {message}"):
        read_class_names(tmp_path / "names.json", None)
