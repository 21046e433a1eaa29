import contextlib
import io
import json
import math
import sys
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest

import edgeblend.calibration.evaluation.accuracy as accuracy_module
from edgeblend.calibration.data.coco import CocoDataset, CocoImage, CocoObject, read_coco
from edgeblend.calibration.evaluation import precision_curves
from edgeblend.calibration.evaluation.accuracy import (
    AccuracyTally,
    measure_accuracy,
    measure_segmenter,
    predict_dataset,
)
from edgeblend.errors import InputError, MissingPackageError
from edgeblend.results import Instances

SIZE = (120, 160)  # height, width
NAMES = ("cat", "dog")
A, B = (10, 10, 50, 50), (80, 20, 140, 100)  # 1600 and 4800 pixels: both medium


def rectangle(x0, y0, x1, y1):
    return (np.array([x0, y0, x1, y0, x1, y1, x0, y1], np.float64),)


def thing(number, box, label=0, *, crowd=False, area=None):
    x0, y0, x1, y1 = box
    area = (x1 - x0) * (y1 - y0) if area is None else area
    return CocoObject(number, np.array(box, np.float32), label, crowd, area, rectangle(*box))


def dataset(tmp_path, *pictures, names=NAMES, ids=(3, 7)):
    """A data set with these objects in each picture; image ids begin at 5."""
    images = tuple(
        CocoImage(5 + i, tmp_path / f"{i}.png", SIZE[1], SIZE[0], tuple(objects))
        for i, objects in enumerate(pictures)
    )
    return CocoDataset(tmp_path / "val.json", names, ids, images, ())


def found(*boxes, labels=None, scores=None, mask_boxes=None, names=NAMES, size=SIZE):
    """Instances that fill their mask boxes, by default their boxes, with falling scores."""
    count = len(boxes)
    as_boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Instances(
        boxes=as_boxes,
        scores=np.array(scores or [0.9 - 0.1 * i for i in range(count)], np.float32),
        classes=np.array(labels or [0] * count, np.int64),
        class_names=names,
        mask_probs=np.ones((count, 4, 4), np.float32),
        mask_boxes=as_boxes if mask_boxes is None else np.array(mask_boxes, np.float32),
        frame_size=size,
    )


def test_perfect_predictions_have_full_precision(tmp_path):
    truth = dataset(tmp_path, [thing(1, A), thing(2, B, 1)], [])
    accuracy = measure_accuracy(truth, {5: found(A, B, labels=[0, 1]), 6: found()})
    for precision in (accuracy.box, accuracy.mask):
        assert [precision.ap, precision.ap50, precision.ap75] == pytest.approx([100, 100, 100])
        assert precision.ap_medium == pytest.approx(100)
        assert math.isnan(precision.ap_small) and math.isnan(precision.ap_large)
        assert precision.per_class == pytest.approx({"cat": 100, "dog": 100})
    assert (accuracy.num_images, accuracy.num_objects) == (2, 2)


def test_one_of_two_found(tmp_path):
    # Precision is 1 at the 51 of COCO's 101 recalls that are not above 0.5, and 0 beyond.
    accuracy = measure_accuracy(dataset(tmp_path, [thing(1, A), thing(2, B)]), {5: found(A)})
    assert accuracy.box.ap == pytest.approx(100 * 51 / 101)
    assert accuracy.mask.ap == pytest.approx(100 * 51 / 101)


def test_a_false_one_first_halves_the_precision(tmp_path):
    accuracy = measure_accuracy(dataset(tmp_path, [thing(1, A)]), {5: found(B, A)})
    assert accuracy.box.ap == pytest.approx(50)


def test_an_iou_above_three_of_ten_thresholds(tmp_path):
    # 40 wide and shifted by 9.75: 30.25 / 49.75 = 0.608, above 0.50, 0.55 and 0.60.
    shifted = (19.75, 10, 59.75, 50)
    accuracy = measure_accuracy(dataset(tmp_path, [thing(1, A)]), {5: found(shifted, mask_boxes=[A])})
    assert accuracy.box.ap == pytest.approx(30)
    assert (accuracy.box.ap50, accuracy.box.ap75) == pytest.approx((100, 0))
    assert accuracy.mask.ap == pytest.approx(100)


def test_shifted_masks_cost_mask_precision_alone(tmp_path):
    shifted = (30, 10, 70, 50)  # 20 / 60
    accuracy = measure_accuracy(dataset(tmp_path, [thing(1, A)]), {5: found(A, mask_boxes=[shifted])})
    assert accuracy.box.ap == pytest.approx(100)
    assert accuracy.mask.ap == 0


def test_the_wrong_class_finds_nothing(tmp_path):
    accuracy = measure_accuracy(
        dataset(tmp_path, [thing(1, A), thing(2, B, 1)]), {5: found(A, B, labels=[1, 0])}
    )
    assert accuracy.box.ap == accuracy.mask.ap == 0


def test_silence(tmp_path, capsys):
    measure_accuracy(dataset(tmp_path, [thing(1, A)]), {5: found(A)})
    assert capsys.readouterr() == ("", "")


def test_crowds_are_not_counted(tmp_path):
    truth = dataset(tmp_path, [thing(1, A), thing(2, B, crowd=True)])
    within_the_crowd = (90, 30, 120, 60)
    accuracy = measure_accuracy(truth, {5: found(within_the_crowd, A)})
    assert accuracy.box.ap == accuracy.mask.ap == pytest.approx(100)
    assert accuracy.num_objects == 1


def test_sizes_go_by_the_annotated_area(tmp_path):
    truth = dataset(tmp_path, [thing(1, A, area=100), thing(2, B, area=20000)])
    accuracy = measure_accuracy(truth, {5: found(B)})
    assert (accuracy.mask.ap_small, accuracy.mask.ap_large) == pytest.approx((0, 100))
    assert math.isnan(accuracy.mask.ap_medium)


def test_an_object_numbered_zero_counts(tmp_path):
    assert measure_accuracy(dataset(tmp_path, [thing(0, A)]), {5: found(A)}).box.ap == pytest.approx(100)


@pytest.mark.parametrize("boxes", [(), (A,)])
def test_without_objects_there_is_no_precision(tmp_path, boxes):
    accuracy = measure_accuracy(dataset(tmp_path, []), {5: found(*boxes)})
    assert math.isnan(accuracy.box.ap) and math.isnan(accuracy.mask.per_class["cat"])


def test_without_predictions_precision_is_zero(tmp_path):
    accuracy = measure_accuracy(dataset(tmp_path, [thing(1, A)]), {5: found()})
    assert accuracy.box.ap == accuracy.mask.ap == accuracy.mask.per_class["cat"] == 0
    assert math.isnan(accuracy.mask.per_class["dog"])


def test_classes_go_by_name(tmp_path):
    # In the data set's ids dog comes before cat, in its classes after, and the model has its own order.
    truth = dataset(tmp_path, [thing(1, A, 0), thing(2, B, 1)], ids=(7, 3))
    accuracy = measure_accuracy(truth, {5: found(A, labels=[1], names=("dog", "cat"))})
    assert accuracy.mask.per_class == pytest.approx({"cat": 100, "dog": 0})


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({}, "expected predictions for every image .* none for 5;"),
        ({5: found(), 9: found()}, "name images that .* does not have: 9"),
        ({5: found(names=("cat", "cow"))}, r"image 5 \(0.png\): .* differing are cow, dog;"),
        ({5: found(names=("cat", "dog", "eel"))}, "differing are eel;"),
        ({5: found(size=(160, 120))}, r"frame of \(120, 160\), got \(160, 120\)"),
        ({5: found(A, scores=[math.nan])}, "expected finite scores of"),
        ({5: found((0, 0, math.inf, 5), mask_boxes=[A])}, "expected finite boxes of"),
        ({5: found(A, mask_boxes=[(0, math.nan, 5, 5)])}, "expected finite mask_boxes of"),
        (
            {5: replace(found(A), mask_probs=np.full((1, 4, 4), math.nan, np.float32))},
            "expected finite mask_probs of",
        ),
    ],
)
def test_predictions_that_do_not_belong_are_refused(tmp_path, predictions, message):
    with pytest.raises(InputError, match=message):
        measure_accuracy(dataset(tmp_path, [thing(1, A)]), predictions)


def test_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingPackageError, match=r'pip install "edgeblend\[accuracy\]"'):
        measure_accuracy(dataset(tmp_path, [thing(1, A)]), {5: found(A)})


def bright_parts(picture):
    """A segmenter: the bounding box of what is white, if anything is."""
    rows, columns = np.nonzero(picture[..., 0] > 127)
    boxes = [(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)] if len(rows) else []
    return found(*boxes, size=picture.shape[:2])


def test_predicting_a_data_set(tmp_path, capsys):
    truth = dataset(tmp_path, [thing(1, A)], [])
    for image in truth.images:
        picture = np.zeros((*SIZE, 3), np.uint8)
        for item in image.objects:
            picture[item.mask(*SIZE)] = 255
        cv2.imwrite(str(image.path), picture)
    predictions = predict_dataset(bright_parts, truth)
    assert {image: len(instances) for image, instances in predictions.items()} == {5: 1, 6: 0}
    assert predictions[5].boxes.tolist() == [list(A)]
    assert capsys.readouterr().err == ""
    measured = measure_segmenter(bright_parts, truth, progress=True)
    assert measured.mask.ap == pytest.approx(100)
    assert "2/2" in capsys.readouterr().err


def test_predicting_looks_at_the_size_of_pictures(tmp_path):
    truth = dataset(tmp_path, [thing(1, A)])
    cv2.imwrite(str(truth.images[0].path), np.zeros((120, 161, 3), np.uint8))
    with pytest.raises(InputError, match="expected 160x120 pixels as annotated, got 161x120"):
        predict_dataset(bright_parts, truth)


def random_boxes(random, count):
    corner = random.uniform(0, [100, 60], (count, 2))
    return np.hstack([corner, corner + random.uniform(8, 60, (count, 2))]).astype(np.float32)


def random_case(folder, random, *, shift=2.0, least=0.3):
    """A file with crowds and objects of all sizes, and its objects again, moved and relabelled, as found."""
    images, annotations, predictions = [], [], {}
    for number in range(1, 31):
        (folder / f"{number}.png").touch()
        images.append({"id": number, "file_name": f"{number}.png", "width": SIZE[1], "height": SIZE[0]})
        boxes = random_boxes(random, int(random.integers(0, 9)))
        labels = random.integers(0, 3, len(boxes))
        for box, label in zip(boxes.tolist(), labels.tolist(), strict=True):
            (ring,) = rectangle(*box)
            crowd = int(random.random() < 0.1)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 10 * (label + 1),
                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "area": (box[2] - box[0]) * (box[3] - box[1]) * random.choice([0.5, 5]),
                    "iscrowd": crowd,
                    "segmentation": whole_rle(ring) if crowd else [ring.tolist()],
                }
            )
        moved = np.clip(boxes + random.normal(0, shift, boxes.shape), 0, [160, 120, 160, 120]).astype(
            np.float32
        )
        every = np.concatenate([moved, random_boxes(random, 3)])
        changed = np.concatenate([labels, random.integers(0, 3, 3)])
        changed = np.where(random.random(len(every)) < 0.1, 0, changed)
        predictions[number] = Instances(
            boxes=every,
            scores=random.random(len(every)).round(1).astype(np.float32),
            classes=changed.astype(np.int64),
            class_names=("a", "b", "c"),
            mask_probs=random.uniform(least, 1, (len(every), 7, 7)).astype(np.float32),
            mask_boxes=every,
            frame_size=SIZE,
        )
    categories = [{"id": 10 * (i + 1), "name": name} for i, name in enumerate("abc")]
    return {"images": images, "annotations": annotations, "categories": categories}, predictions


def whole_rle(ring):
    """Plain run lengths, as COCO's files hold crowds."""
    mask = np.zeros(SIZE, np.uint8)
    x0, y0, x1, y1 = ring[[0, 1, 4, 5]].astype(int)
    mask[y0:y1, x0:x1] = 1
    flat = mask.ravel(order="F")
    bounds = np.flatnonzero(np.diff(flat, prepend=0)).tolist()
    return {"size": list(SIZE), "counts": np.diff([0, *bounds, flat.size]).tolist()}


def renumbered(content, predictions, new):
    """The same file and predictions with other ids of everything."""
    keys = ("id", "image_id", "category_id")
    content = {
        kind: [{**item, **{key: new(item[key]) for key in keys if key in item}} for item in items]
        for kind, items in content.items()
    }
    return content, {new(image): instances for image, instances in predictions.items()}


@pytest.mark.parametrize(
    "new",
    [
        lambda i: i,
        lambda i: i - 1,
        lambda i: i - 20,
        lambda i: 2**54 + i,
        lambda i: 2**63 + i,
        lambda i: 2**127 + i,
    ],
    ids=["as they are", "from 0", "negative", "2**54", "2**63", "2**127"],
)
@pytest.mark.parametrize(("seed", "block"), [(0, 32), (1, 4), (2, 1)])
def test_parity_with_pycocotools(tmp_path, monkeypatch, seed, block, new):
    monkeypatch.setattr(accuracy_module, "BLOCK", block)
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    content, predictions = random_case(tmp_path, np.random.default_rng(seed))
    content["images"].reverse()  # of equal scores, the lower image id is first, wherever it is listed
    path = tmp_path / "val.json"
    given, expected = renumbered(content, predictions, new)
    path.write_text(json.dumps(given))
    accuracy = measure_accuracy(read_coco(path), expected)
    path.write_text(json.dumps(content))
    records = [r for i, found_ in predictions.items() for r in found_.to_coco(i, category_ids=[10, 20, 30])]
    for kind, ours in (("bbox", accuracy.box), ("segm", accuracy.mask)):
        with contextlib.redirect_stdout(io.StringIO()):
            truth = coco.COCO(str(path))
            # With a box, pycocotools would take an instance's size from it.
            keys = {"image_id", "category_id", "score", "bbox" if kind == "bbox" else "segmentation"}
            results = truth.loadRes([{key: record[key] for key in keys} for record in records])
            evaluation = cocoeval.COCOeval(truth, results, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        got = [ours.ap, ours.ap50, ours.ap75, ours.ap_small, ours.ap_medium, ours.ap_large]
        assert got == pytest.approx(100 * evaluation.stats[:6], abs=1e-6)
        assert ours.ar == pytest.approx(100 * evaluation.stats[8], abs=1e-6)
        per_class = 100 * evaluation.eval["precision"][..., 0, 2].mean(axis=(0, 1))
        assert list(ours.per_class.values()) == pytest.approx(per_class, abs=1e-6)
        assert 5 < ours.ap < 95


def whole_evaluation(path, predictions, kind):
    """The evaluator with everything at once."""
    tools = pytest.importorskip("faster_coco_eval")
    keys = ("image_id", "category_id", "score", "bbox" if kind == "bbox" else "segmentation")
    records = [
        {key: record[key] for key in keys}
        for image, instances in sorted(predictions.items())
        for record in instances.to_coco(image, category_ids=[10, 20, 30])
    ]
    truth = tools.COCO(str(path), print_function=str)
    evaluation = tools.COCOeval_faster(truth, truth.loadRes(records), kind, print_function=str)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval


@pytest.mark.parametrize("scores", ["of ten kinds", "all equal", "all different"])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blocks_come_to_the_same_as_a_whole_evaluation(tmp_path, monkeypatch, block, scores):
    monkeypatch.setattr(accuracy_module, "BLOCK", block)
    random = np.random.default_rng(block)
    content, predictions = random_case(tmp_path, random, shift=0.5, least=0.6)
    for number, item in predictions.items():
        if scores == "all equal":
            predictions[number] = replace(item, scores=np.full(len(item), 0.5, np.float32))
        elif scores == "all different":
            predictions[number] = replace(item, scores=random.random(len(item), np.float32))
    path = tmp_path / "val.json"
    path.write_text(json.dumps(content))
    truth = read_coco(path)
    tally = AccuracyTally(truth, boundary=True)
    for place in random.permutation(len(truth.images)).tolist():  # the order does not matter
        tally.add(truth.images[place], predictions[truth.images[place].id])
    for kind in ("bbox", "segm", "boundary"):
        expected, curves = whole_evaluation(path, predictions, kind), tally_curves(tally, kind)
        np.testing.assert_allclose(curves.precision, expected["precision"][..., -1], rtol=0, atol=1e-12)
        np.testing.assert_allclose(curves.recall, expected["recall"][..., -1], rtol=0, atol=1e-12)
        assert 0.05 < curves.precision[..., 0].mean() < 0.95
    assert tally.accuracy() == tally.accuracy()


def tally_curves(tally, kind):
    tally.accuracy()  # takes in what waits
    return tally._tallies[kind].curves()


def test_memory_does_not_grow_with_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(precision_curves, "_AT_A_TIME", 20)
    truth = dataset(tmp_path, *[[thing(1, A)]] * 80)
    item = found(*[A] * 10)

    def peak(block):
        monkeypatch.setattr(accuracy_module, "BLOCK", block)
        tally = AccuracyTally(truth)
        tracemalloc.start()
        try:
            for image in truth.images:
                tally.add(image, item)
            tally.accuracy()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert 4 * peak(2) < peak(1000)


def test_pictures_that_did_not_come_count_as_empty(tmp_path):
    tally = AccuracyTally(dataset(tmp_path, [thing(1, A)], [thing(2, A)]))
    tally.add(tally._dataset.images[1], found(A))
    assert tally.accuracy().mask.ar == pytest.approx(50)
    tally.add(tally._dataset.images[0], found(A))
    assert tally.accuracy().mask.ar == pytest.approx(100)


def test_parity_on_a_file_with_a_root_and_names_that_repeat(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    content, predictions = random_case(tmp_path, np.random.default_rng(4))
    for category in content["categories"]:
        category["supercategory"] = "a"
    content["categories"] = [
        {"id": 0, "name": "a", "supercategory": "none"},
        {"id": 5, "name": "b", "supercategory": "a"},
        *content["categories"],
    ]
    path = tmp_path / "val.json"
    path.write_text(json.dumps(content))
    dataset = read_coco(path)
    assert (dataset.class_names, dataset.category_ids) == (("a", "b", "c"), (10, 20, 30))
    records = [
        {key: record[key] for key in ("image_id", "category_id", "score", "segmentation")}
        for image, found_ in predictions.items()
        for record in found_.to_coco(image, category_ids=dataset.category_ids)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(path))
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(records), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert measure_accuracy(dataset, predictions).mask.ap == pytest.approx(
        100 * evaluation.stats[0], abs=1e-6
    )


def band_of(mask):
    """A mask's boundary: its pixels within 2% of the diagonal (4 here) of one outside, as a king moves."""
    padded = np.pad(mask, 4)
    inner = np.ones_like(mask)
    for down in range(9):
        for right in range(9):
            inner &= padded[down : down + SIZE[0], right : right + SIZE[1]]
    return mask & ~inner


def test_boundary_parity(tmp_path):
    """pycocotools with the overlap of Boundary IoU in place of its own."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    api = pytest.importorskip("pycocotools.mask")

    class BoundaryEvaluation(cocoeval.COCOeval):
        def computeIoU(self, image, category):  # noqa: N802
            whole = super().computeIoU(image, category)
            if not len(whole):
                return whole
            truth = self._gts[image, category]
            found = sorted(self._dts[image, category], key=lambda record: -record["score"])
            bands = [
                [api.encode(np.asfortranarray(band_of(api.decode(r["segmentation"])))) for r in records]
                for records in (found, truth)
            ]
            crowd = np.array([record["iscrowd"] for record in truth])
            return np.where(crowd, whole, np.minimum(whole, api.iou(*bands, crowd)))

    content, predictions = random_case(tmp_path, np.random.default_rng(3), shift=0.5, least=0.6)
    path = tmp_path / "val.json"
    path.write_text(json.dumps(content))
    accuracy = measure_accuracy(read_coco(path), predictions, boundary=True)
    records = [r for i, found_ in predictions.items() for r in found_.to_coco(i, category_ids=[10, 20, 30])]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(path))
        results = truth.loadRes([{k: v for k, v in record.items() if k != "bbox"} for record in records])
        evaluation = BoundaryEvaluation(truth, results, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ours = accuracy.boundary
    got = [ours.ap, ours.ap50, ours.ap75, ours.ap_small, ours.ap_medium, ours.ap_large]
    assert got == pytest.approx(100 * evaluation.stats[:6], abs=1e-6)
    assert 5 < ours.ap < accuracy.mask.ap - 5


def test_a_boundary_by_hand(tmp_path):
    # The diagonal is 200, so the bands are 4 wide. Masks of 40x40 and, 1 further in on each side, 38x38:
    # 38^2 / 40^2 = 0.9025. Bands of 40^2 - 32^2 = 576 and 38^2 - 30^2 = 544 meet in 38^2 - 32^2 = 420:
    # 420 / (576 + 544 - 420) = 0.6, which is reached at the thresholds 0.50, 0.55 and 0.60 alone.
    within = (11, 11, 49, 49)
    crisp = np.ones((1, 38, 38), np.float32)  # a cell a pixel
    predictions = {5: replace(found(A, mask_boxes=[within]), mask_probs=crisp)}
    truth = dataset(tmp_path, [thing(1, A)])
    accuracy = measure_accuracy(truth, predictions, boundary=True)
    assert accuracy.mask.ap == pytest.approx(90)
    assert accuracy.boundary.ap == pytest.approx(30)
    assert measure_accuracy(truth, predictions).boundary is None


def test_recall_by_hand(tmp_path):
    # One of two found; a false one beside it costs precision and no recall.
    accuracy = measure_accuracy(dataset(tmp_path, [thing(1, A), thing(2, B)]), {5: found((0, 60, 20, 90), A)})
    assert (accuracy.box.ar, accuracy.mask.ar) == pytest.approx((50, 50))
