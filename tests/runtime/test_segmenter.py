from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.converters.reference import torch_segmenter
from edgeblend.errors import BundleError, EngineError, InputError
from edgeblend.model.blendmask import build_network
from edgeblend.model.checkpoints.read import load_weights, read_checkpoint
from edgeblend.model.config import load_config
from edgeblend.runtime.segmenter import Segmenter

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def segmenter(tiny_bundle: Bundle) -> Segmenter:
    return Segmenter.load(tiny_bundle)


def test_it_finds_what_torch_finds(segmenter, tiny_model, photograph) -> None:
    network = build_network(load_config(tiny_model.config))
    load_weights(network, read_checkpoint(tiny_model.checkpoint), source="tiny")
    expected = torch_segmenter(network, class_names=segmenter.class_names)(photograph)
    actual = segmenter(photograph)
    assert len(expected) > 3
    np.testing.assert_array_equal(actual.classes, expected.classes)
    np.testing.assert_allclose(actual.boxes, expected.boxes, rtol=0, atol=1e-2)
    np.testing.assert_allclose(actual.mask_probs, expected.mask_probs, rtol=0, atol=1e-3)


def test_results_are_owned(segmenter, photograph) -> None:
    first = segmenter(photograph)
    before = (first.boxes.copy(), first.mask_probs.copy())
    other = segmenter(photograph[:, ::-1])
    assert not np.array_equal(other.boxes[: len(before[0])], before[0])
    np.testing.assert_array_equal(first.boxes, before[0])
    np.testing.assert_array_equal(first.mask_probs, before[1])


def test_timings_name_every_stage(segmenter, photograph) -> None:
    assert list(segmenter(photograph).timings_ms) == [
        "preprocess",
        "detector",
        "decode",
        "attention",
        "basis",
        "blend",
        "assemble",
    ]


def test_nothing_detected_is_an_ordinary_result_and_the_bases_are_not_run(tiny_bundle, photograph) -> None:
    with Segmenter.load(tiny_bundle, score_threshold=0.999) as segmenter:
        result = segmenter(photograph)
    assert len(result) == 0
    assert result.frame_size == (400, 600)
    assert result.masks().shape == (0, 400, 600)
    assert result.to_coco(1) == []
    assert "detector" in result.timings_ms
    assert "basis" not in result.timings_ms


def test_a_score_threshold_keeps_the_best(tiny_bundle, segmenter, photograph) -> None:
    every = segmenter(photograph)
    middle = float(np.median(every.scores))
    with Segmenter.load(tiny_bundle, score_threshold=middle) as strict:
        some = strict(photograph)
    np.testing.assert_array_equal(some.scores, every.scores[every.scores > middle])


def test_results_at_another_size(segmenter, photograph) -> None:
    frame, doubled = segmenter(photograph), segmenter(photograph, output_size=(800, 1200))
    assert doubled.frame_size == (800, 1200)
    np.testing.assert_allclose(doubled.boxes, frame.boxes * 2, rtol=1e-5)
    assert doubled.masks().shape == (len(frame), 800, 1200)


@pytest.mark.parametrize("size", [(0, 10), (10, -1), (10,), (10.5, 3), "ab"])
def test_an_output_size_that_is_none(segmenter, photograph, size) -> None:
    with pytest.raises(InputError, match="output_size"):
        segmenter(photograph, output_size=size)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 5000, 3), (5000, 1, 3), (37, 53, 3)])
def test_frames_of_any_shape(segmenter, shape) -> None:
    result = segmenter(np.full(shape, 200, np.uint8))
    assert result.frame_size == shape[:2]
    assert (result.boxes[:, 2:] <= [shape[1], shape[0]]).all()


def test_grey_bgra_and_16_bit_frames_are_served(segmenter, photograph) -> None:
    expected = segmenter(photograph)
    with_alpha = np.dstack([photograph, np.zeros(photograph.shape[:2], np.uint8)])
    np.testing.assert_array_equal(segmenter(with_alpha).boxes, expected.boxes)
    np.testing.assert_array_equal(segmenter(photograph.astype(np.uint16) * 257).boxes, expected.boxes)
    grey = photograph[:, :, 1]
    np.testing.assert_array_equal(segmenter(grey).boxes, segmenter(np.dstack([grey] * 3)).boxes)


def test_a_float_frame_is_refused_with_shape_and_dtype(segmenter, photograph) -> None:
    with pytest.raises(InputError, match=r"float32.*\(400, 600, 3\)|\(400, 600, 3\).*float32"):
        segmenter(photograph.astype(np.float32))


def test_unclipped_masks_keep_the_predicted_box(tiny_bundle, segmenter, photograph) -> None:
    clipped = segmenter(photograph)
    with Segmenter.load(tiny_bundle, paste="unclipped") as other:
        unclipped = other(photograph)
    np.testing.assert_array_equal(clipped.boxes, unclipped.boxes)
    np.testing.assert_array_equal(clipped.mask_boxes, clipped.boxes)
    height, width = photograph.shape[:2]
    outside = (unclipped.mask_boxes < 0) | (unclipped.mask_boxes > [width, height, width, height])
    assert outside.any()


def test_info_says_what_runs(segmenter, tiny_bundle) -> None:
    info = segmenter.info
    assert info.bundle == str(tiny_bundle.path)
    assert info.canvas == (160, 224)
    assert set(info.parts) == {"detector", "basis"}
    assert {part.precision for part in info.parts.values()} == {"f32"}
    assert all(part.engine.startswith("openvino 20") and part.device == "CPU" for part in info.parts.values())


def test_threads_are_asked_for_and_shown(tiny_bundle) -> None:
    with Segmenter.load(tiny_bundle, threads=1) as segmenter:
        assert {part.threads for part in segmenter.info.parts.values()} == {1}


def test_the_engine_s_own_precision_shows(tiny_bundle) -> None:
    with Segmenter.load(tiny_bundle, precision="engine") as segmenter:
        assert {part.precision for part in segmenter.info.parts.values()} <= {"f32", "bf16", "f16"}


def test_a_precision_that_the_device_replaces_is_an_error(tiny_bundle) -> None:
    with Segmenter.load(tiny_bundle, precision="engine") as segmenter:
        own = segmenter.info.parts["detector"].precision
    other = "f16" if own != "f16" else "bf16"
    try:
        with Segmenter.load(tiny_bundle, precision=other) as segmenter:
            assert segmenter.info.parts["detector"].precision == other
    except EngineError as error:
        assert f"when asked for {other}" in str(error)


def test_parts_can_differ(tiny_bundle, photograph) -> None:
    precision = {"detector": "f32", "basis": "engine"}
    with Segmenter.load(tiny_bundle, device={"detector": "CPU", "basis": "CPU"}, precision=precision) as both:
        assert both.info.parts["detector"].precision == "f32"
        assert len(both(photograph)) > 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"device": "TOASTER"}, EngineError, "device TOASTER is not there; OpenVINO sees .*CPU"),
        ({"device": {"detector": "CPU"}}, InputError, "not the part 'basis'"),
        ({"backend": "tflite"}, EngineError, "made for 'openvino', not for 'tflite'"),
        ({"threads": 0}, InputError, "threads must be at least 1"),
        ({"score_threshold": 1.5}, InputError, "score_threshold"),
        ({"paste": "glue"}, InputError, "paste: unknown value 'glue'"),
        ({"precision": "f8"}, InputError, "precision: unknown value 'f8'"),
        ({"properties": {"NO_SUCH_PROPERTY": "1"}}, EngineError, "NO_SUCH_PROPERTY"),
    ],
)
def test_options_that_cannot_be(tiny_bundle, options, error, message) -> None:
    with pytest.raises(error, match=message):
        Segmenter.load(tiny_bundle, **options)


def test_a_closed_segmenter_says_so(tiny_bundle, photograph) -> None:
    segmenter = Segmenter.load(tiny_bundle)
    segmenter.close()
    with pytest.raises(EngineError, match="closed"):
        segmenter(photograph)


def test_calls_from_several_threads_take_turns(segmenter, photograph) -> None:
    frames = [photograph, photograph[::-1], photograph[:, ::-1], photograph[100:300]]
    expected = [segmenter(frame).boxes for frame in frames]
    found: dict[int, np.ndarray] = {}

    def work(index: int) -> None:
        found[index] = segmenter(frames[index]).boxes

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(frames))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, boxes in enumerate(expected):
        np.testing.assert_array_equal(found[index], boxes)


def test_a_cache_folder_is_filled_and_used(tiny_bundle, segmenter, photograph, tmp_path) -> None:
    for _ in range(2):
        with Segmenter.load(tiny_bundle, cache_dir=tmp_path) as cached:
            np.testing.assert_allclose(cached(photograph).boxes, segmenter(photograph).boxes, atol=1e-3)
    assert list(tmp_path.rglob("*.blob"))


def test_a_zip_runs_after_the_file_is_gone(tiny_bundle, segmenter, photograph, tmp_path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "tiny"), "zip", tiny_bundle.folder))
    with Segmenter.load(archive) as zipped:
        archive.unlink()
        np.testing.assert_array_equal(zipped(photograph).boxes, segmenter(photograph).boxes)


def test_an_attention_layer_of_another_model_is_refused(tiny_bundle, tmp_path) -> None:
    folder = tmp_path / "altered"
    shutil.copytree(tiny_bundle.folder, folder)
    (folder / "attention.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(BundleError, match="attention.safetensors"):
        edgeblend.Segmenter.load(folder)


def test_a_path_an_rgb_array_and_a_pil_image_give_what_the_frame_gives(
    segmenter, photograph, tmp_path
) -> None:
    expected = segmenter(photograph)
    path = tmp_path / "photograph.png"
    cv2.imwrite(str(path), photograph)
    rgb = np.ascontiguousarray(photograph[..., ::-1])
    for found in (
        segmenter(path),
        segmenter(str(path)),
        segmenter(rgb, color="rgb"),
        segmenter(PIL.Image.fromarray(rgb)),
    ):
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_array_equal(found.mask_probs, expected.mask_probs)
    assert not np.array_equal(segmenter(rgb).scores, expected.scores)
    with pytest.raises(InputError, match="no such file"):
        segmenter(tmp_path / "missing.png")


def test_pil_is_never_imported(tiny_bundle, tmp_path) -> None:
    code = f"""
import sys, numpy, edgeblend
edgeblend.Segmenter.load({str(tiny_bundle.path)!r})(numpy.zeros((40, 60, 3), numpy.uint8))
assert "PIL" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
