"""A checkpoint to an INT8 bundle in one call, and conversions that are verified on the caller's images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from tiny_model import CLASS_NAMES

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.calibration.sampling.sample import sample_frames
from edgeblend.converters import targets
from edgeblend.converters.verification_images import images_to_verify_on, read_images
from edgeblend.errors import ConversionError, InputError
from edgeblend.training.run import TrainingResult

pytest.importorskip("openvino")
pytest.importorskip("nncf")

QUICK = edgeblend.Recipe(name="quick", bias_correction="none")


@pytest.fixture
def convert(tiny_model, tmp_path) -> Callable[..., Bundle]:
    def run(checkpoint=tiny_model.checkpoint, **options):
        options = {"config": tiny_model.config, "class_names": CLASS_NAMES, **options}
        return edgeblend.convert(checkpoint, tmp_path / "out", **options)

    return run


# In one call


def test_in_one_call_as_in_two(convert, tiny_bundle, calibration_pictures, tmp_path, monkeypatch) -> None:
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    steps: list[str] = []
    made = convert(calibration=calibration_pictures, recipe=QUICK, count=4, progress=steps.append)
    two = edgeblend.quantize(
        tiny_bundle, tmp_path / "two", calibration=calibration_pictures, recipe=QUICK, count=4
    )
    assert made.manifest == two.manifest
    assert made.manifest.quantization.calibration.frames == 4
    assert made.manifest.verification == tiny_bundle.manifest.verification
    # What can be refused is known before the checkpoint is read; frames are chosen once.
    assert steps.index("choosing calibration frames") < steps.index("reading the checkpoint")
    assert list((tmp_path / "temp").iterdir()) == []


def test_what_training_returned_is_quantized_in_one_call(
    tiny_model, tmp_path, calibration_pictures, convert
) -> None:
    names = tmp_path / "classes.txt"
    names.write_text("3\tcup\n7\tspoon\n9\ttable\n")
    trained = TrainingResult(
        model=tiny_model.checkpoint,
        config=tiny_model.config,
        class_names=names,
        accuracy=None,
        epoch=1,
        log=(),
        notes=(),
    )
    with sample_frames(calibration_pictures, count=3) as frames:
        made = convert(trained, config=None, class_names=None, calibration=frames, recipe=QUICK)
        assert len(list(frames)) == 3  # a set that was sampled before stays open
    assert (made.manifest.things, made.manifest.category_ids) == (CLASS_NAMES, (3, 7, 9))
    assert made.manifest.quantization is not None


def test_a_float_bundle_that_differs_is_not_quantized(
    convert, calibration_pictures, tmp_path, monkeypatch
) -> None:
    differing(monkeypatch)
    with pytest.raises(ConversionError, match=r"detector output .* on coffee\.jpg"):
        convert(calibration=calibration_pictures, recipe=QUICK)
    assert list(tmp_path.iterdir()) == []


# On the caller's images


def differing(monkeypatch) -> None:
    """Let the exporter write a graph that says other classes."""
    target = targets.load_target("openvino")
    export = target.export_graph

    def export_another(graph, folder, **options):
        import torch

        layer = graph.module.network.proposal_generator.fcos_head.cls_logits
        original = layer.weight.detach().clone()
        with torch.no_grad():
            layer.weight[0, 0] += 0.05
            try:
                return export(graph, folder, **options)
            finally:
                layer.weight.copy_(original)

    monkeypatch.setattr(target, "export_graph", export_another)


def test_a_conversion_is_verified_on_what_it_is_given(convert, tmp_path, photograph, monkeypatch) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name, size in (("a.png", (300, 200)), ("b.png", (120, 260))):
        cv2.imwrite(str(images / name), cv2.resize(photograph, size[::-1]))
    made = convert(verify_on=images)
    assert made.manifest.verification.pictures == ((300, 200), (120, 260))
    differing(monkeypatch)
    with pytest.raises(ConversionError, match=r"output cls_logits_p3 is off by .* on [ab]\.png, allowed"):
        convert(verify_on=images, overwrite=True)
    with pytest.raises(ConversionError, match=r"standard deviations on frame 0, allowed"):
        convert(verify_on=[photograph], overwrite=True)


def test_a_file_that_is_no_image_is_refused_by_its_name(convert, tmp_path) -> None:
    (tmp_path / "cat.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"^verify_on: cat\.png cannot be used: "):
        convert(verify_on=tmp_path / "cat.png")


def test_one_array_and_a_generator_are_images(photograph, tiny_bundle) -> None:
    spec = tiny_bundle.manifest.input
    for given in (photograph, iter([photograph]), [photograph]):
        own = read_images(given)
        for _ in range(2):  # they are read again
            canvas, images = images_to_verify_on(spec, own)
            assert canvas is spec
            assert [(image.name, image.picture.shape) for image in images] == [("frame 0", photograph.shape)]


def test_without_images_the_photograph_is_taken(photograph, tiny_bundle) -> None:
    canvas, images = images_to_verify_on(tiny_bundle.manifest.input, None)
    assert canvas is tiny_bundle.manifest.input
    (image,) = images
    np.testing.assert_array_equal(image.picture, photograph)
    assert image.name == "coffee.jpg"


def test_a_folder_without_images_is_refused(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        read_images(tmp_path / "empty")
