import weakref
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edgeblend.calibration.data.coco import CocoDataset, CocoImage, CocoObject
from edgeblend.calibration.data.frames import Frame
from edgeblend.calibration.evaluation.accuracy import measure_accuracy
from edgeblend.calibration.sampling.sample import CalibrationSet
from edgeblend.converters.quantize import search as searching
from edgeblend.converters.quantize.search import (
    LabelledPictures,
    SampledPictures,
    Search,
    Validation,
    check_search,
    open_validation,
)
from edgeblend.errors import AccuracyError, InputError
from edgeblend.recipe import Recipe
from edgeblend.results import Instances

NAMES = ("cat", "dog")
SIZE = (40, 60)
A, B = (0, 0, 20, 20), (30, 10, 50, 30)
MANIFEST = SimpleNamespace(things=NAMES)
SOURCE = SimpleNamespace(manifest=MANIFEST, path=Path("float"), graph=lambda part: f"the {part} graph")


def found(*boxes, mask_boxes=None, half=False):
    """Instances whose masks, of a cell a pixel, fill their mask boxes (by default their boxes), or half."""
    as_boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Instances(
        boxes=as_boxes,
        scores=np.linspace(0.9, 0.8, len(boxes)).astype(np.float32),
        classes=np.zeros(len(boxes), np.int64),
        class_names=NAMES,
        mask_probs=np.tile(np.arange(20) < (10 if half else 20), (len(boxes), 20, 1)).astype(np.float32),
        mask_boxes=as_boxes if mask_boxes is None else np.array(mask_boxes, np.float32),
        frame_size=SIZE,
    )


BOTH, ONE, NONE = found(A, B), found(A), found()
HALF_MASKS = found(A, B, half=True)
OTHER_BOXES = found((0, 0, 10, 20), (30, 10, 40, 30), mask_boxes=[A, B])


class FakeSession:
    """Stands for a graph by the instances that a bundle with it finds, picture by picture."""

    def __init__(self, *instances):
        self.instances = instances


FLOAT = FakeSession(BOTH, BOTH, BOTH, BOTH)


@pytest.fixture(autouse=True)
def fake_segmenters(monkeypatch):
    """A segmenter finds what the worse of its two sessions finds; pictures are told by their grey."""

    def bare_segmenter(source, sessions):
        assert set(sessions) == {"detector", "basis"}
        worse = sessions["basis"] if sessions["detector"] is FLOAT else sessions["detector"]
        return lambda picture: worse.instances[int(picture[0, 0, 0])]

    monkeypatch.setattr(searching, "bare_segmenter", bare_segmenter)


def picture(number):
    return np.full((*SIZE, 3), number, np.uint8)


def sampled(count=4):
    return SampledPictures([Frame(i, f"frame {i}", picture(i)) for i in range(count)])


def agreeing(count=4):
    """A validation without labels."""
    return Validation(SOURCE, sampled(count), (BOTH,) * count, None)


def both(session, part="basis"):
    return {"detector": FLOAT, "basis": FLOAT, part: session}


@pytest.fixture
def dataset(tmp_path):
    """Four pictures with two objects each, just where the float bundle finds them."""
    images = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), picture(number))
        objects = [
            CocoObject(
                2 * number + i,
                np.array(box, np.float32),
                0,
                False,
                400.0,
                (np.array([box[0], box[1], box[2], box[1], box[2], box[3], box[0], box[3]], np.float64),),
            )
            for i, box in enumerate((A, B))
        ]
        images.append(CocoImage(number + 1, path, SIZE[1], SIZE[0], tuple(objects)))
    return CocoDataset(tmp_path / "labels.json", NAMES, (1, 2), tuple(images), ())


@pytest.fixture
def labelled(dataset):
    accuracy = measure_accuracy(dataset, {image.id: BOTH for image in dataset.images})
    assert accuracy.box.ap == accuracy.mask.ap == pytest.approx(100)
    return Validation(SOURCE, LabelledPictures(dataset), (BOTH,) * 4, accuracy)


# A drop


def test_without_labels_a_drop_is_one_of_agreement():
    validation = agreeing()
    assert validation.metric == "agreement"
    assert validation.drop(both(FLOAT)) == (0, [100, 100, 100, 100])
    drop, each = validation.drop(both(FakeSession(BOTH, ONE, BOTH, NONE)))
    # 5 of 8 objects are found as they were, 3 are lost: 100 * 5 / (5 + 3 / 2).
    assert drop == pytest.approx(100 - 100 * 5 / 6.5)
    assert each == pytest.approx([100, 100 / 1.5, 100, 0])


def test_masks_count_in_agreement():
    drop, each = agreeing().drop(both(FakeSession(BOTH, HALF_MASKS, BOTH, BOTH)))
    assert drop == pytest.approx(100 - 100 * 7 / 8)
    assert each == pytest.approx([100, 50, 100, 100])


def test_a_drop_of_some_pictures():
    session = FakeSession(BOTH, ONE, BOTH, NONE)
    drop, each = agreeing().drop(both(session), [3, 0])
    assert each == [100, 0]  # by rising position
    assert drop == pytest.approx(100 - 100 * 2 / 3)


def test_of_box_and_mask_precision_the_larger_drop_counts(labelled):
    assert labelled.metric == "average precision"
    assert labelled.drop(both(FLOAT)) == (0, [100, 100, 100, 100])
    half_masks, _ = labelled.drop(both(FakeSession(*[HALF_MASKS] * 4)))
    other_boxes, _ = labelled.drop(both(FakeSession(*[OTHER_BOXES] * 4)))
    # IoU 1/2 is a match at the first of ten thresholds alone.
    assert half_masks == pytest.approx(90) and other_boxes == pytest.approx(90)
    one, _ = labelled.drop(both(FakeSession(*[ONE] * 4)))
    assert one == pytest.approx(100 - 100 * 51 / 101)  # of COCO's 101 recalls those up to 1/2


def test_precision_is_for_all_pictures_and_agreement_for_some(labelled):
    session = FakeSession(*[HALF_MASKS] * 4)
    assert labelled.drop(both(session), [0, 1, 2, 3])[0] == pytest.approx(50)
    assert labelled.drop(both(session))[0] == pytest.approx(90)


def test_a_gain_is_no_drop(dataset):
    poor = measure_accuracy(dataset, {image.id: ONE for image in dataset.images})
    validation = Validation(SOURCE, LabelledPictures(dataset), (ONE,) * 4, poor)
    assert validation.drop(both(FLOAT))[0] == 0


# What is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((None, "val", None), "pictures and annotations are for a search"),
        ((None, None, "val.json"), "pictures and annotations are for a search"),
        ((0, None, None), "max_drop must be above 0, got 0"),
        ((-0.5, None, None), "got -0.5"),
        ((float("nan"), None, None), "got nan"),
        ((float("inf"), None, None), "got inf"),
        ((100.5, None, None), "got 100.5"),
    ],
)
def test_options_that_mean_nothing(options, words):
    with pytest.raises(InputError, match=words):
        check_search(*options)


@pytest.mark.parametrize("options", [(None, None, None), (0.5, None, None), (100, "val", "val.json")])
def test_options_that_mean_something(options):
    check_search(*options)


def test_nothing_to_measure_on():
    nothing = FakeSession(NONE, NONE)
    with pytest.raises(InputError, match="detects nothing on any of 2 pictures"):
        open_validation(SOURCE, both(nothing), sampled(2).frames, images=None, annotations=None)
    something = open_validation(
        SOURCE, both(FakeSession(NONE, ONE)), sampled(2).frames, images=None, annotations=None
    )
    assert (len(something.pictures), something.metric) == (2, "agreement")
    assert [len(instances) for instances in something.expected] == [0, 1]


def test_of_unlabelled_pictures_it_is_said_which_are_measured_on(tmp_path):
    for number, value in enumerate((0, 0, 1, 2)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((*SIZE, 3), value * 100, np.uint8))
    (tmp_path / "4.png").write_bytes(b"no picture")
    (tmp_path / "5.heic").touch()
    session = FakeSession(*[BOTH] * 201)
    notes = []
    made = open_validation(SOURCE, both(session), [], images=tmp_path, annotations=None, report=notes.append)
    assert len(made.pictures) == 3  # the second looks like the first
    assert notes == [
        f"{tmp_path}: 1 file that is no picture was passed over: 1 .heic",
        "1 of 5 frames cannot be read, such as 4.png",
        f"the drop is measured on 3 of the 5 pictures of {tmp_path}, which are unlike each other; with "
        "annotations it is measured on all of them",
    ]


def test_frames_that_were_sampled_are_closed_in_the_end(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((*SIZE, 3), np.uint8))
    closed = []
    monkeypatch.setattr(CalibrationSet, "close", lambda self: closed.append(self))
    with ExitStack() as stack:
        made = open_validation(
            SOURCE, both(FakeSession(ONE)), [], images=tmp_path, annotations=None, opened=stack
        )
        assert closed == []
    assert closed == [made.pictures.frames]


def test_where_all_pictures_are_measured_on_nothing_is_said(tmp_path, dataset, monkeypatch):
    cv2.imwrite(str(tmp_path / "one.png"), picture(0))
    notes = []
    options = {"report": notes.append}
    open_validation(SOURCE, both(FLOAT), [], images=tmp_path / "one.png", annotations=None, **options)
    open_validation(SOURCE, both(FLOAT), sampled().frames, images=None, annotations=None, **options)
    assert notes == []
    noted = replace(dataset, notes=("1 objects dropped: outside the picture",))
    monkeypatch.setattr(searching, "read_coco", lambda *args, **given: noted)
    open_validation(SOURCE, both(FLOAT), [], images=None, annotations="labels.json", **options)
    assert notes == ["labels.json: 1 objects dropped: outside the picture"]


@pytest.mark.parametrize("labels", ["elsewhere", "nothing"])
def test_labels_that_the_float_bundle_does_not_find(labels, dataset, monkeypatch):
    images = tuple(
        CocoImage(image.id, image.path, image.width, image.height, image.objects * (labels == "elsewhere"))
        for image in dataset.images
    )
    others = CocoDataset(dataset.source, NAMES, (1, 2), images, ())
    monkeypatch.setattr(searching, "read_coco", lambda *args, **options: others)
    elsewhere = found((0, 30, 10, 40), (20, 30, 30, 40))
    with pytest.raises(InputError, match=r"finds none of the objects that labels\.json lists for 4 pictures"):
        open_validation(
            SOURCE, both(FakeSession(*[elsewhere] * 4)), [], images=None, annotations="labels.json"
        )


# The search


class FakeToolkit:
    """Plays an exchange with ``validate``, and keeps what it was asked for."""

    def __init__(self, *exchange):
        self._exchange, self.scores = exchange, []

    def quantize_to_score(self, model, graph, items, recipe, **options):
        self.given = {"model": model, "graph": graph, "items": items, "recipe": recipe, **options}
        validate = self.given.pop("validate")
        for session, positions, in_float in self._exchange:
            self.scores.append(validate(session, positions, frozenset(in_float))[0])
        return "made"


RECIPE = Recipe(name="mine")


def quantized(search, toolkit, part, others):
    return search.quantize(
        toolkit, part, "model", ["items"], RECIPE, float_layers={"stem"}, arriving={}, others=others
    )


def test_the_toolkit_is_told_what_is_wanted():
    search, toolkit = Search(agreeing(), 5), FakeToolkit()
    assert quantized(search, toolkit, "detector", both(FLOAT)) == "made"
    assert toolkit.given == {
        "model": "model",
        "graph": "the detector graph",
        "arriving": {},
        "items": ["items"],
        "recipe": RECIPE,
        "float_layers": {"stem"},
        "pictures": 4,
        "max_drop": pytest.approx(0.8 * 5),  # the basis graph may lose the rest
    }


def test_the_basis_graph_may_lose_what_the_detector_left():
    toolkit = FakeToolkit()
    detector = FakeSession(BOTH, BOTH, BOTH, HALF_MASKS)  # loses 12.5 already
    quantized(Search(agreeing(), 20), toolkit, "basis", both(detector, "detector"))
    assert toolkit.given["max_drop"] == pytest.approx(7.5)
    quantized(Search(agreeing(), 10), toolkit, "basis", both(detector, "detector"))
    assert toolkit.given["max_drop"] == 0


def test_every_model_that_was_judged_is_a_step():
    one_lost, half = FakeSession(BOTH, BOTH, BOTH, ONE), FakeSession(BOTH, BOTH, BOTH, HALF_MASKS)
    toolkit = FakeToolkit(
        (FLOAT, None, {"stem", "body", "head"}),  # the float graph itself
        (one_lost, None, {"stem"}),  # all in INT8 but what the recipe keeps
        (half, (0, 3), {"stem", "body"}),  # these rank layers
        (half, (0, 1, 2, 3), {"stem", "head"}),
        (half, None, {"stem", "head"}),
        (half, None, {"stem", "body"}),  # the last was taken back
        (FLOAT, None, {"stem", "body"}),  # an operation without weights
    )
    search = Search(agreeing(), 5)
    quantized(search, toolkit, "detector", both(FLOAT))
    lost = 100 - 100 * 7 / 7.5
    assert toolkit.scores == pytest.approx([0, -lost, -25, -12.5, -12.5, -12.5, 0])
    spec = search.finish(both(FLOAT))
    assert [(step.graph, step.returned, step.float_layers) for step in spec.steps] == [
        ("detector", (), 1),
        ("detector", ("head",), 2),
        ("detector", ("body",), 2),
        ("detector", (), 2),
    ]
    assert [step.drop for step in spec.steps] == pytest.approx([lost, 12.5, 12.5, 0], abs=1e-4)


def test_each_graph_begins_anew():
    search = Search(agreeing(), 5)
    for part in ("detector", "basis"):
        toolkit = FakeToolkit((FLOAT, None, {"a", "b"}), (FLOAT, None, {"a"}), (FLOAT, None, {"a", "b"}))
        quantized(search, toolkit, part, both(FLOAT))
    spec = search.finish(both(FLOAT))
    assert [(step.graph, step.returned) for step in spec.steps] == [
        ("detector", ()),
        ("detector", ("b",)),
        ("basis", ()),
        ("basis", ("b",)),
    ]


def test_one_picture_is_enough_to_tell_models_from_rankings():
    toolkit = FakeToolkit((FLOAT, None, {"a"}), (FLOAT, (0,), set()), (FLOAT, None, set()))
    search = Search(agreeing(1), 5)
    quantized(search, toolkit, "detector", both(FLOAT))
    assert len(search.finish(both(FLOAT)).steps) == 1


# Its end


def test_a_drop_that_is_no_number_is_not_within_what_is_allowed(monkeypatch):
    monkeypatch.setattr(Validation, "drop", lambda *args: (float("nan"), []))
    with pytest.raises(AccuracyError, match="loses nan points"):
        Search(agreeing(), 5).finish(both(FLOAT))


def test_what_is_written_into_the_manifest(labelled):
    spec = Search(labelled, 95).finish(both(FakeSession(*[HALF_MASKS] * 4)))
    assert (spec.metric, spec.pictures, spec.max_drop, spec.steps) == ("average precision", 4, 95, ())
    assert spec.drop == pytest.approx(90, abs=1e-3)


def test_a_bundle_that_loses_too_much_in_the_end_is_refused(labelled):
    session = FakeSession(BOTH, BOTH, BOTH, HALF_MASKS)
    assert Search(agreeing(), 12.6).finish(both(session)).drop == pytest.approx(12.5)
    with pytest.raises(
        AccuracyError, match=r"loses 12\.50 points of agreement, 12\.4 are allowed, after 0 models"
    ):
        Search(agreeing(), 12.4).finish(both(session))
    with pytest.raises(AccuracyError, match=r"loses 90\.00 points of average precision, 0\.5 are allowed"):
        Search(labelled, 0.5).finish(both(FakeSession(*[HALF_MASKS] * 4)))


def test_a_drop_that_is_no_number_is_more_than_is_allowed(monkeypatch):
    validation = agreeing()
    monkeypatch.setattr(Validation, "drop", lambda *given: (float("nan"), [100.0]))
    with pytest.raises(AccuracyError, match="loses nan points"):
        Search(validation, 50).finish(both(FLOAT))


@pytest.mark.parametrize("with_labels", [False, True])
def test_no_more_than_a_picture_or_two_are_held(with_labels, dataset, monkeypatch):
    """A picture with a hundred objects takes a megabyte, and there are thousands of pictures."""
    alive, most = set(), []

    def bare_segmenter(source, sessions):
        def segment(picture):
            made = replace(BOTH, mask_probs=BOTH.mask_probs.copy())
            number = len(most)
            alive.add(number)
            weakref.finalize(made.mask_probs.base, alive.discard, number)
            most.append(len(alive))
            return made

        return segment

    monkeypatch.setattr(searching, "bare_segmenter", bare_segmenter)
    monkeypatch.setattr(searching, "read_coco", lambda *args, **options: dataset)
    annotations = "labels.json" if with_labels else None
    frames = sampled(4).frames
    validation = open_validation(SOURCE, both(FLOAT), frames, images=None, annotations=annotations)
    assert validation.drop(both(FLOAT)) == (0, [100, 100, 100, 100])
    assert len(most) == 8
    assert max(most) <= 2
