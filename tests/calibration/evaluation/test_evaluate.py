"""One bundle on a labelled data set, whose labels are what the tiny model itself finds."""

from __future__ import annotations

import json
import math
import sys
import weakref

import numpy as np
import pytest

import edgeblend
from edgeblend import Instances, Segmenter, evaluate
from edgeblend.calibration.data.coco import read_coco
from edgeblend.calibration.evaluation import evaluate as module
from edgeblend.calibration.evaluation.accuracy import measure_segmenter
from edgeblend.calibration.measuring.turns import TURN
from edgeblend.errors import BundleError, EngineError, InputError, MissingPackageError

pytest.importorskip("openvino")
pytest.importorskip("faster_coco_eval")


def evaluated(bundle, folder, **options):
    return evaluate(bundle, folder / "pictures", folder / "labels.json", **options)


@pytest.fixture(scope="module")
def report(tiny_bundle, labelled_pictures):
    return evaluated(tiny_bundle, labelled_pictures, boundary=True)


def test_a_model_whose_findings_are_the_labels_is_right(report, tiny_bundle):
    accuracy = report.accuracy
    assert accuracy.box.ap == pytest.approx(100) and accuracy.mask.ap == pytest.approx(100)
    assert accuracy.boundary.ap == pytest.approx(100)
    assert (accuracy.num_images, accuracy.num_objects > 5) == (5, True)
    assert set(accuracy.mask.per_class) == set(tiny_bundle.manifest.things)
    found = [value for value in accuracy.mask.per_class.values() if not math.isnan(value)]
    assert found == pytest.approx([100] * len(found)) and found
    assert report.bundle == tiny_bundle.path


def test_one_with_noise_is_less_right(worse_bundle, labelled_pictures):
    noisy = evaluated(worse_bundle, labelled_pictures)
    assert 0 < noisy.accuracy.mask.ap < 95
    assert noisy.accuracy.boundary is None


def test_the_figures_are_those_of_the_evaluator(worse_bundle, labelled_pictures):
    dataset = read_coco(
        labelled_pictures / "labels.json",
        labelled_pictures / "pictures",
        class_names=worse_bundle.manifest.things,
    )
    with Segmenter.load(worse_bundle) as segmenter:
        expected = measure_segmenter(segmenter, dataset)
    found = evaluated(worse_bundle.path, labelled_pictures).accuracy
    for kind in ("box", "mask"):
        for name in ("ap", "ap50", "ap75", "ar"):
            assert getattr(getattr(found, kind), name) == getattr(getattr(expected, kind), name)


def test_time_and_what_ran_are_told(report):
    speed = report.speed
    assert speed.frames == 4  # all but the first of the turn
    assert 0 < speed.graphs_ms < speed.frame_ms <= speed.frame_p90_ms
    assert {part: session.precision for part, session in report.sessions.items()} == {
        "detector": "f32",
        "basis": "f32",
    }
    assert report.machine.cores >= 1


def test_options_reach_the_engine(tiny_bundle, labelled_pictures):
    report = evaluated(tiny_bundle, labelled_pictures, threads=1, limit=2)
    assert {session.threads for session in report.sessions.values()} == {1}
    assert report.accuracy.num_images == 2


def test_ids_of_the_users_own_file_need_no_mapping(tiny_bundle, labelled_pictures, tmp_path):
    """Classes go by name; that results of ``edgeblend run`` have other ids is noted."""
    document = json.loads((labelled_pictures / "labels.json").read_text())
    moved = {category["id"]: 900 - category["id"] for category in document["categories"]}
    for category in document["categories"]:
        category["id"] = moved[category["id"]]
    for annotation in document["annotations"]:
        annotation["category_id"] = moved[annotation["category_id"]]
    (tmp_path / "own.json").write_text(json.dumps(document))
    report = evaluate(tiny_bundle, labelled_pictures / "pictures", tmp_path / "own.json")
    assert report.accuracy.mask.ap == pytest.approx(100)
    assert "its results have other category ids than" in report.notes[-1]


def test_no_more_than_a_turn_is_held(tmp_path, monkeypatch, tiny_bundle, photograph):
    """Of 40 images, no more are in memory than those of two turns, whatever the evaluator keeps."""
    import cv2

    (tmp_path / "pictures").mkdir()
    images = []
    for number in range(1, 41):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), photograph[:40, :60])
        images.append({"id": number, "file_name": f"{number}.png", "width": 60, "height": 40})
    names = tiny_bundle.manifest.things
    categories = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
    annotation["segmentation"] = [[0, 0, 9, 0, 9, 9, 0, 9]]
    document = {"images": images, "annotations": [annotation], "categories": categories}
    (tmp_path / "labels.json").write_text(json.dumps(document))
    frames, most = [], 0

    class Fake(Segmenter):
        def __call__(self, frame, **options):
            nonlocal most
            frames.append(weakref.ref(frame))
            most = max(most, sum(one() is not None for one in frames))
            box = np.array([[0, 0, 9, 9]], np.float32)
            score, label = np.ones(1, np.float32), np.zeros(1, np.int64)
            return Instances(box, score, label, names, np.ones((1, 2, 2), np.float32), box, frame.shape[:2])

    monkeypatch.setattr(module, "Segmenter", Fake)
    accuracy = evaluated(tiny_bundle, tmp_path).accuracy
    assert (accuracy.num_images, accuracy.num_objects, len(frames)) == (40, 1, 40)
    assert most <= 2 * TURN
    kept = [frame() for frame in frames]
    assert kept.count(None) >= 40 - TURN


# Refusals


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"limit": 0}, InputError, "limit"),
        ({"threads": 0}, InputError, "threads"),
        ({"precision": "int4"}, InputError, "precision"),
        ({"boundary": 1}, InputError, "boundary"),
        ({"device": "NOWHERE"}, EngineError, "NOWHERE"),
    ],
)
def test_wrong_options(tiny_bundle, labelled_pictures, options, kind, message):
    with pytest.raises(kind, match=message):
        evaluated(tiny_bundle, labelled_pictures, **options)


def test_what_is_not_there(tiny_bundle, labelled_pictures, tmp_path):
    with pytest.raises(BundleError, match="no such bundle"):
        evaluated(tmp_path / "nowhere", labelled_pictures)
    with pytest.raises(InputError, match="labels.json: no such file"):
        evaluate(tiny_bundle, labelled_pictures / "pictures", tmp_path / "labels.json")


def test_labels_without_objects(tiny_bundle, labelled_pictures, tmp_path):
    document = json.loads((labelled_pictures / "labels.json").read_text())
    (tmp_path / "empty.json").write_text(json.dumps({**document, "annotations": []}))
    with pytest.raises(InputError, match="expected objects on the 5 pictures to measure accuracy"):
        evaluate(tiny_bundle, labelled_pictures / "pictures", tmp_path / "empty.json")


def test_without_the_package(tiny_bundle, labelled_pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingPackageError, match=r"edgeblend\[accuracy\]") as caught:
        edgeblend.evaluate(tiny_bundle, labelled_pictures / "pictures", labelled_pictures / "labels.json")
    assert caught.value.extra == "accuracy"
