import weakref
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgeblend.calibration.data.coco import CocoDataset, CocoImage, CocoObject
from edgeblend.calibration.data.frames import Frame
from edgeblend.calibration.evaluation.accuracy import measure_accuracy
from edgeblend.calibration.sampling.sample import CalibrationSet
from edgeblend.converters.quantize import validation as validating
from edgeblend.converters.quantize.probe import LayerSensitivity
from edgeblend.converters.quantize.search import Search
from edgeblend.converters.quantize.validation import (
    LabelledPictures,
    SampledPictures,
    Validation,
    check_search,
    open_validation,
)
from edgeblend.errors import AccuracyError, InputError
from edgeblend.results import Instances

NAMES = ("cat", "dog")
SIZE = (40, 60)
A, B = (0, 0, 20, 20), (30, 10, 50, 30)


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


class FakeNetwork:
    """Finds what the worse of its two sessions finds; pictures are told by their grey."""

    things = NAMES

    def __init__(self, detector=FLOAT, basis=FLOAT):
        self.sessions = {"detector": detector, "basis": basis}

    def with_graphs(self, graphs):
        return type(self)(**{**self.sessions, **graphs})

    def segment(self, picture):
        sessions = self.sessions
        worse = sessions["basis"] if sessions["detector"] is FLOAT else sessions["detector"]
        return worse.instances[int(picture[0, 0, 0])]


SOURCE = FakeNetwork()


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
        open_validation(FakeNetwork(basis=nothing), sampled(2).frames, images=None, annotations=None)
    something = open_validation(
        FakeNetwork(basis=FakeSession(NONE, ONE)), sampled(2).frames, images=None, annotations=None
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
    made = open_validation(
        FakeNetwork(basis=session), [], images=tmp_path, annotations=None, report=notes.append
    )
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
            FakeNetwork(basis=FakeSession(ONE)), [], images=tmp_path, annotations=None, opened=stack
        )
        assert closed == []
    assert closed == [made.pictures.frames]


def test_where_all_pictures_are_measured_on_nothing_is_said(tmp_path, dataset, monkeypatch):
    cv2.imwrite(str(tmp_path / "one.png"), picture(0))
    notes = []
    options = {"report": notes.append}
    open_validation(FakeNetwork(basis=FLOAT), [], images=tmp_path / "one.png", annotations=None, **options)
    open_validation(FakeNetwork(basis=FLOAT), sampled().frames, images=None, annotations=None, **options)
    assert notes == []
    noted = replace(dataset, notes=("1 objects dropped: outside the picture",))
    monkeypatch.setattr(validating, "read_coco", lambda *args, **given: noted)
    open_validation(FakeNetwork(basis=FLOAT), [], images=None, annotations="labels.json", **options)
    assert notes == ["labels.json: 1 objects dropped: outside the picture"]


@pytest.mark.parametrize("labels", ["elsewhere", "nothing"])
def test_labels_that_the_float_bundle_does_not_find(labels, dataset, monkeypatch):
    images = tuple(
        CocoImage(image.id, image.path, image.width, image.height, image.objects * (labels == "elsewhere"))
        for image in dataset.images
    )
    others = CocoDataset(dataset.source, NAMES, (1, 2), images, ())
    monkeypatch.setattr(validating, "read_coco", lambda *args, **options: others)
    elsewhere = found((0, 30, 10, 40), (20, 30, 30, 40))
    with pytest.raises(InputError, match=r"finds none of the objects that labels\.json lists for 4 pictures"):
        open_validation(
            FakeNetwork(basis=FakeSession(*[elsewhere] * 4)), [], images=None, annotations="labels.json"
        )


# The search


class FakePart:
    """A graph of four layers; what it finds follows from how many, and which, are in float."""

    layers = ("stem", "body", "neck", "head")

    def __init__(self, made, alone=None, noise=None, part="detector"):
        self.part, self._made, self._alone, self._noise = part, made, alone or {}, noise or {}
        self.quantized, self.costs_measured = [], 0

    def quantize(self, float_layers):
        self.quantized.append(frozenset(float_layers))
        return self.quantized[-1]

    def layers_in_float(self, model):
        return tuple(layer for layer in self.layers if layer in model)

    @contextmanager
    def opened(self, model):
        yield self._made(model)

    def layer_costs(self, judge):
        self.costs_measured += 1
        return [
            LayerSensitivity(self.part, layer, self._noise.get(layer, 40.0), (), self._lost(judge, layer))
            for layer in self.layers
        ]

    def _lost(self, judge, layer):
        return judge(self._alone.get(layer, FLOAT))


ONE_LOST, HALF = FakeSession(BOTH, BOTH, BOTH, ONE), FakeSession(BOTH, BOTH, BOTH, HALF_MASKS)
LOST = 100 - 100 * 7 / 7.5  # with ONE_LOST; with HALF 12.5


def until(*needed):
    """A graph that loses something as long as not all of these layers are in float."""
    return lambda in_float: FLOAT if in_float.issuperset(needed) else HALF


def test_a_graph_that_loses_little_enough_is_taken_at_once():
    search, part = Search(agreeing(), 5), FakePart(until())
    assert search.quantize(part, {"stem"}, {}) == {"stem"}
    assert (part.quantized, part.costs_measured) == ([{"stem"}], 0)


@pytest.mark.parametrize(
    ("part", "allowed", "tried"), [("detector", 15, 2), ("basis", 15, 1), ("basis", 12, 2)]
)
def test_the_detector_may_lose_four_fifths(part, allowed, tried):
    found = FakePart(until("stem"), alone={"stem": HALF}, part=part)  # else it loses 12.5
    Search(agreeing(), allowed).quantize(found, (), {})
    assert len(found.quantized) == tried


def test_the_basis_graph_may_lose_what_the_detector_left():
    detector = FakeSession(BOTH, BOTH, BOTH, HALF_MASKS)  # loses 12.5 already
    part = FakePart(lambda in_float: FLOAT, part="basis")
    assert Search(agreeing(), 12.6).quantize(part, (), {"detector": detector}) == frozenset()
    with pytest.raises(AccuracyError, match=r"no layer of the basis graph .* \(basis: fp32\)"):
        Search(agreeing(), 12.4).quantize(part, (), {"detector": detector})


def test_layers_that_lose_most_alone_are_returned_first():
    alone = {"neck": HALF, "stem": ONE_LOST}
    part = FakePart(until("neck", "stem"), alone=alone)
    assert Search(agreeing(), 5).quantize(part, (), {}) == {"neck", "stem"}
    assert part.quantized == [set(), {"neck"}, {"neck", "stem"}]
    assert part.costs_measured == 1


def test_of_layers_that_lose_the_same_the_noisier_is_returned_first():
    part = FakePart(until("body"), noise={"body": 20.0, "head": 30.0})
    assert Search(agreeing(), 5).quantize(part, (), {}) == {"body"}
    assert part.quantized == [set(), {"body"}]


@pytest.mark.parametrize("broken", [{"noise": {"head": float("nan")}}, {"noise": {"head": -np.inf}}])
def test_a_layer_whose_noise_is_no_number_costs_most(broken):
    assert Search(agreeing(), 5).quantize(FakePart(until("head"), **broken), (), {}) == {"head"}


def test_layers_that_the_recipe_keeps_are_not_returned():
    part = FakePart(until("stem", "body"), alone={"stem": HALF})
    assert Search(agreeing(), 5).quantize(part, {"stem"}, {}) == {"stem", "body"}
    assert part.quantized == [{"stem"}, {"stem", "body"}]


def test_layers_are_ranked_on_the_pictures_that_lose_most(monkeypatch):
    monkeypatch.setattr("edgeblend.converters.quantize.search.RANKED_ON", 1)
    validation = agreeing()
    asked = []
    drop = Validation.drop
    monkeypatch.setattr(
        Validation, "drop", lambda self, graphs, on=None: asked.append(on) or drop(self, graphs, on)
    )
    Search(validation, 5).quantize(FakePart(until("stem"), alone={"stem": HALF}), (), {})
    assert asked == [None, [3], [3], [3], [3], None]


class ManyLayers(FakePart):
    layers = tuple(f"layer {number:02}" for number in range(20))


def test_the_fewest_layers_are_found_by_doubling_and_halving():
    needed = ManyLayers.layers[:11]
    part = ManyLayers(until(*needed), noise={layer: float(i) for i, layer in enumerate(ManyLayers.layers)})
    assert Search(agreeing(), 5).quantize(part, (), {}) == set(needed)
    assert [len(tried) for tried in part.quantized] == [0, 1, 2, 4, 8, 16, 12, 10, 11]


def test_at_least_one_layer_is_in_int8():
    part = FakePart(lambda in_float: HALF)
    with pytest.raises(AccuracyError, match=r"no layer of the detector graph .* nothing was written"):
        Search(agreeing(), 5).quantize(part, (), {})
    assert [len(tried) for tried in part.quantized] == [0, 1, 2, 3]


def test_every_model_that_was_judged_is_a_step():
    search, steps = Search(agreeing(), 5, progress=lambda line: lines.append(line)), []
    lines: list[str] = []
    made = {0: ONE_LOST, 1: HALF, 2: FLOAT}
    part = FakePart(lambda in_float: made[len(in_float) - 1], noise={"head": 1.0, "neck": 2.0})
    search.quantize(part, {"stem"}, {})
    search.quantize(FakePart(until(), part="basis"), (), {})
    steps = search.finish({"basis": FLOAT}).steps
    assert [(step.graph, step.returned, step.float_layers) for step in steps] == [
        ("detector", (), 1),
        ("detector", ("head",), 2),
        ("detector", ("head", "neck"), 3),
        ("basis", (), 0),
    ]
    assert [step.drop for step in steps] == pytest.approx([LOST, 12.5, 0, 0], abs=1e-4)
    assert lines == [
        "detector: 6.67 lost with 1 layers in float",
        "detector: 12.50 lost with 2 layers in float",
        "detector: 0.00 lost with 3 layers in float",
        "basis: 0.00 lost with 0 layers in float",
    ]


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

    class Counting(FakeNetwork):
        def segment(self, picture):
            made = replace(BOTH, mask_probs=BOTH.mask_probs.copy())
            number = len(most)
            alive.add(number)
            weakref.finalize(made.mask_probs.base, alive.discard, number)
            most.append(len(alive))
            return made

    monkeypatch.setattr(validating, "read_coco", lambda *args, **options: dataset)
    annotations = "labels.json" if with_labels else None
    frames = sampled(4).frames
    validation = open_validation(Counting(), frames, images=None, annotations=annotations)
    assert validation.drop(both(FLOAT)) == (0, [100, 100, 100, 100])
    assert len(most) == 8
    assert max(most) <= 2
