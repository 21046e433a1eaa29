import msgspec
import numpy as np
import pytest
from bundle_factory import tensor, write_tiny_bundle

from edgeblend.bundle import Bundle
from edgeblend.calibration.data.frames import Frame
from edgeblend.converters.opened import OpenGraph, network_of
from edgeblend.converters.quantize.feeds import BasisFeed, DetectorFeed
from edgeblend.runtime.preprocess import preprocess

DARK, BRIGHT = 20, 220


@pytest.fixture
def manifest(tmp_path):
    """Canvas 32x64, two classes, one level of 4x8 cells."""
    return Bundle.load(write_tiny_bundle(tmp_path / "tiny")).manifest


def frames(*greys, size=(32, 64)):
    return [Frame(i, f"frame {i}", np.full((*size, 3), grey, np.uint8)) for i, grey in enumerate(greys)]


class FakeDetector:
    """Detects something on bright canvases; like a real session it overwrites what it returned."""

    def __init__(self):
        self.runs = 0
        shapes = {
            "cls_logits_p3": 2,
            "box_reg_p3": 4,
            "centerness_p3": 1,
            "attention_features_p3": 8,
            "p3": 8,
        }
        self._outputs = {name: np.zeros((1, count, 4, 8), np.float32) for name, count in shapes.items()}

    def run(self, inputs):
        self.runs += 1
        mean = float(inputs["image"].mean())
        self._outputs["cls_logits_p3"][:] = 5 if mean > 128 else -50
        self._outputs["box_reg_p3"][:] = 1
        self._outputs["p3"][:] = mean
        return self._outputs


def network(manifest, detector=None):
    """A network whose basis graph does not run."""
    sessions = {"detector": detector or FakeDetector(), "basis": None}
    graphs = {part: OpenGraph(manifest.graphs[part], session) for part, session in sessions.items()}
    return network_of(manifest, graphs, None)


def means(feed, name="p3"):
    return [round(float(item[name].mean())) for item in feed]


# Of the detector


def test_the_detector_gets_what_the_runtime_would_give_it(manifest):
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, size, np.uint8) for size in ((32, 64, 3), (50, 70, 3), (20, 20, 3))]
    given = [Frame(i, str(i), picture) for i, picture in enumerate(pictures)]
    items = list(DetectorFeed(given, manifest))
    assert [set(item) for item in items] == [{"image"}] * 3
    for item, picture in zip(items, pictures, strict=True):
        assert (item["image"].shape, item["image"].dtype) == ((1, 32, 64, 3), np.uint8)
        np.testing.assert_array_equal(item["image"], preprocess(picture, manifest.input).canvas)
    np.testing.assert_array_equal(items[0]["image"][0], pictures[0])  # it fits as it is


def test_the_name_is_the_graphs(manifest):
    detector = msgspec.structs.replace(
        manifest.graphs["detector"],
        inputs=(msgspec.structs.replace(tensor("image", dtype="uint8", layout="NHWC"), name="camera"),),
    )
    other = msgspec.structs.replace(manifest, graphs={**manifest.graphs, "detector": detector})
    assert [set(item) for item in DetectorFeed(frames(DARK), other)] == [{"camera"}]


def test_frames_are_gone_through_again_and_one_at_a_time(manifest):
    decoded = []

    class Lazily:
        def __len__(self):
            return 3

        def __iter__(self):
            for frame in frames(1, 2, 3):
                decoded.append(frame.index)
                yield frame

    feed = DetectorFeed(Lazily(), manifest)
    assert (len(feed), decoded) == (3, [])
    first = iter(feed)
    assert next(first)["image"].mean() == 1
    assert decoded == [0]
    assert means(feed, "image") == means(feed, "image") == [1, 2, 3]


# Of the basis graph


def test_the_basis_graph_gets_what_the_detector_gives(manifest):
    feed = BasisFeed(frames(200, 220), network(manifest))
    items = list(feed)
    assert [set(item) for item in items] == [{"p3"}] * 2
    assert items[0]["p3"].shape == (1, 8, 4, 8)
    assert (len(feed), means(feed)) == (2, [200, 220])


def test_items_are_copies(manifest):
    items = list(BasisFeed(frames(200, 210, 220), network(manifest)))
    assert [float(item["p3"].mean()) for item in items] == [200, 210, 220]  # were they views: all the last's


def test_frames_without_detections_are_left_out(manifest):
    feed = BasisFeed(frames(DARK, BRIGHT, DARK, BRIGHT + 1), network(manifest))
    assert (len(feed), means(feed), means(feed)) == (2, [BRIGHT, BRIGHT + 1], [BRIGHT, BRIGHT + 1])


@pytest.mark.parametrize("counted_first", [True, False])
def test_where_nothing_is_detected_at_all_every_frame_is_taken(counted_first, manifest):
    feed = BasisFeed(frames(DARK, DARK + 1), network(manifest))
    if counted_first:
        assert len(feed) == 2
    assert means(feed) == [DARK, DARK + 1]
    assert len(feed) == 2


def test_frames_are_counted_once(manifest):
    detector = FakeDetector()
    feed = BasisFeed(frames(DARK, BRIGHT, BRIGHT), network(manifest, detector))
    assert [len(feed), len(feed)] == [2, 2]
    assert detector.runs == 3
    assert means(feed) == [BRIGHT, BRIGHT]
    assert detector.runs == 6
