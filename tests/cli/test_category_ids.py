"""Category ids of a data set in every result: its own file and the field's own tool evaluate them rightly."""

import json
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import edgeblend
from edgeblend.bundle import Bundle

IDS = {"cup": 7, "spoon": 0, "table": 3}
"""As a data set might number the tiny model's classes: with gaps, from 0, in another order."""


@pytest.fixture(scope="module")
def trained(tiny_model, tmp_path_factory):
    """What training would have returned."""
    classes = tmp_path_factory.mktemp("trained") / "classes.txt"
    classes.write_text("".join(f"{category}\t{name}\n" for name, category in IDS.items()))
    return SimpleNamespace(model=tiny_model.checkpoint, config=tiny_model.config, class_names=classes)


@pytest.fixture(scope="module")
def bundle(trained, tmp_path_factory) -> Bundle:
    return edgeblend.convert(trained, tmp_path_factory.mktemp("numbered") / "bundle")


@pytest.fixture(scope="module")
def labels(labelled_pictures, tmp_path_factory):
    """The data set's own file: some of what the model finds, so that its accuracy is neither 0 nor 100."""
    document = json.loads((labelled_pictures / "labels.json").read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    kept = [item for number, item in enumerate(document["annotations"]) if number % 3]
    document["annotations"] = [{**item, "category_id": IDS[names[item["category_id"]]]} for item in kept]
    document["categories"] = [{"id": category, "name": name} for name, category in IDS.items()]
    path = tmp_path_factory.mktemp("labels") / "labels.json"
    path.write_text(json.dumps(document))
    return path


def mask_ap(labels, written, *, ids=None):
    """AP as the field's tool measures it; ``ids`` replaces those that were written."""
    truth = COCO(str(labels))
    numbers = {image["file_name"]: image["id"] for image in truth.dataset["images"]}
    images = {image["id"]: numbers[image["file_name"].rpartition("/")[2]] for image in written["images"]}
    found = [
        {
            **item,
            "image_id": images[item["image_id"]],
            "category_id": item["category_id"] if ids is None else ids[item["category_id"]],
        }
        for item in written["annotations"]
    ]
    evaluation = COCOeval(truth, truth.loadRes(found), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return 100 * evaluation.stats[0]


def test_the_data_sets_own_file_and_tool_measure_what_compare_measures(
    bundle, labels, labelled_pictures, cli, tmp_path, capsys
):
    code, _, stderr = cli(
        ["run", str(bundle.path), str(labelled_pictures / "pictures"), "--out", str(tmp_path / "out")]
    )
    assert code == 0, stderr
    written = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert {category["name"]: category["id"] for category in written["categories"]} == IDS
    report = edgeblend.compare(
        bundle, [bundle], labelled_pictures / "pictures", annotations=labels, disagreements=0
    )
    expected = report.reference.figures.accuracy.mask.ap
    assert 5 < expected < 95
    assert mask_ap(labels, written) == pytest.approx(expected, abs=1e-6)
    assert report.notes == ()
    # The control: numbered from 1, the same results are wrong.
    in_order = {category: number for number, category in enumerate(IDS.values(), 1)}
    assert abs(mask_ap(labels, written, ids=in_order) - expected) > 1


def test_compare_says_where_results_would_have_other_ids(tiny_bundle, labels, labelled_pictures):
    report = edgeblend.compare(
        tiny_bundle, [tiny_bundle], labelled_pictures / "pictures", annotations=labels, disagreements=0
    )
    assert report.reference.figures.accuracy.mask.ap > 5  # names decide
    assert len(report.notes) == 2
    assert "other category ids than" in report.notes[0] and "1 for 'cup', 7 there" in report.notes[0]


def test_the_bundle_and_what_is_made_of_it(bundle, calibration_pictures, tmp_path, cli):
    assert bundle.manifest.category_ids == (7, 0, 3)
    with edgeblend.Segmenter.load(bundle) as segmenter:
        assert (segmenter.class_names, segmenter.category_ids) == (tuple(IDS), (7, 0, 3))
    code, stdout, _ = cli(["inspect", str(bundle.path)])
    rows = dict(line.split("  ", 1) for line in stdout.splitlines() if "  " in line.strip())
    assert code == 0 and rows["category ids"].strip() == "7, 0, 3"
    recipe = edgeblend.Recipe(name="quick", bias_correction="none")
    int8 = edgeblend.quantize(bundle, tmp_path / "int8", calibration=calibration_pictures, recipe=recipe)
    assert int8.manifest.category_ids == (7, 0, 3)


def test_ids_of_1_to_n_are_not_shown(tiny_bundle, cli):
    _, stdout, _ = cli(["inspect", str(tiny_bundle.path)])
    assert "category ids" not in stdout
