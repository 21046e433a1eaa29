"""Puts this folder on the import path, so that tests in subfolders find the modules beside this file."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
from bundle_factory import add_noise, rehash
from numpy.typing import NDArray
from tiny_model import CLASS_NAMES, TinyModel, write_tiny_model

import edgeblend
from edgeblend.bundle import Bundle


@pytest.fixture(scope="session", autouse=True)
def heard_signals() -> None:
    """Let signals end a command also where the tests run under ``nohup`` or in a script's background."""
    if threading.current_thread() is not threading.main_thread():
        return  # Python lets nobody else change them
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


@pytest.fixture(scope="session")
def data() -> Path:
    return Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Its YAML, its checkpoint and its weights; tests must not change them."""
    pytest.importorskip("torch")
    return write_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def tiny_bundle(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny model on OpenVINO; tests must not change it."""
    out = tmp_path_factory.mktemp("tiny-bundle") / "tiny"
    return edgeblend.convert(tiny_model.checkpoint, out, config=tiny_model.config, class_names=CLASS_NAMES)


@pytest.fixture(scope="session")
def tiny_on(
    tiny_model: TinyModel, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Bundle]:
    """A function from target to the tiny model in float32; tests must not change it."""

    @cache
    def convert(target: str) -> Bundle:
        if target == "openvino":
            return tiny_bundle
        out = tmp_path_factory.mktemp(f"tiny-{target}") / "tiny"
        return edgeblend.convert(
            tiny_model.checkpoint, out, config=tiny_model.config, class_names=CLASS_NAMES, target=target
        )

    return convert


@pytest.fixture(scope="session")
def tiny_int8_on(
    tiny_on: Callable[[str], Bundle],
    calibration_pictures: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Callable[[str], Bundle]:
    """A function from target to the tiny model in INT8, in the quickest way; tests must not change it."""

    @cache
    def quantize(target: str) -> Bundle:
        if target == "openvino":
            return request.getfixturevalue("tiny_int8")
        out = tmp_path_factory.mktemp(f"tiny-int8-{target}") / "tiny-int8"
        recipe = edgeblend.Recipe(name="quick", bias_correction="none")
        return edgeblend.quantize(tiny_on(target), out, calibration=calibration_pictures, recipe=recipe)

    return quantize


@pytest.fixture(scope="session")
def worse_bundle(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle with noise on every convolution: it finds other things; tests must not change it."""
    out = tmp_path_factory.mktemp("worse-bundle") / "worse"
    shutil.copytree(tiny_bundle.folder, out)
    random = np.random.default_rng(0)
    for part in ("detector", "basis"):
        add_noise(out / f"{part}.xml", out / f"{part}.bin", random)
        rehash(out, f"{part}.bin")
    return Bundle.load(out)


@pytest.fixture(scope="session")
def labelled_pictures(
    tiny_bundle: Bundle, photograph: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """``pictures``, five, and ``labels.json``, what the tiny model finds there; tests must not change it."""
    pictures = [photograph[: 400 - 8 * number, : 600 - 16 * number] for number in range(1, 6)]
    return _write_labels(tiny_bundle, pictures, tmp_path_factory.mktemp("labelled"))


def _write_labels(bundle: Bundle, pictures: Sequence[NDArray[np.uint8]], folder: Path) -> Path:
    """Write pictures, and what a bundle finds in them as their labels."""
    (folder / "pictures").mkdir()
    categories = [{"id": i, "name": name} for i, name in enumerate(bundle.manifest.things, 1)]
    images, annotations = [], []
    with edgeblend.Segmenter.load(bundle) as segmenter:
        for number, picture in enumerate(pictures, 1):
            cv2.imwrite(str(folder / "pictures" / f"{number}.png"), picture)
            height, width = picture.shape[:2]
            images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
            annotations += [found for found in segmenter(picture).to_coco(number) if found["area"]]
    numbered = [{"id": number, "iscrowd": 0, **found} for number, found in enumerate(annotations, 1)]
    document = {"images": images, "annotations": numbered, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="session")
def calibration_pictures(photograph: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six pictures that are unlike each other: parts of the photograph."""
    folder = tmp_path_factory.mktemp("calibration")
    for number in range(6):
        row, column = divmod(number, 3)
        part = photograph[row * 180 : row * 180 + 200, column * 140 : column * 140 + 300]
        cv2.imwrite(str(folder / f"{number}.png"), part)
    return folder


@pytest.fixture(scope="session")
def tiny_int8(
    tiny_bundle: Bundle, calibration_pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """The tiny bundle in INT8, in the quickest way; tests must not change it."""
    pytest.importorskip("nncf")
    recipe = edgeblend.Recipe(name="quick", bias_correction="none")
    out = tmp_path_factory.mktemp("tiny-int8") / "tiny-int8"
    return edgeblend.quantize(tiny_bundle, out, calibration=calibration_pictures, recipe=recipe)


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of ``small_bundle.py``; tests must not change it."""
    pytest.importorskip("openvino")
    from small_bundle import write_small_bundle

    return write_small_bundle(tmp_path_factory.mktemp("small-bundle") / "small")


@pytest.fixture(scope="session")
def small_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six pictures for it, as large as its canvas."""
    from small_bundle import frames

    folder = tmp_path_factory.mktemp("small-pictures")
    for number, picture in enumerate(frames(6)):
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


@pytest.fixture(scope="session")
def small_int8(
    small_bundle: Bundle, small_pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """The small bundle in INT8, all by default; tests must not change it."""
    pytest.importorskip("nncf")
    out = tmp_path_factory.mktemp("small-int8") / "small-int8"
    return edgeblend.quantize(small_bundle, out, calibration=small_pictures)


@pytest.fixture(scope="session")
def small_labels(small_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``pictures``, three, and ``labels.json``, what the small bundle finds there."""
    from small_bundle import frames

    return _write_labels(small_bundle, frames(3, seed=9), tmp_path_factory.mktemp("small-labels"))


@pytest.fixture(scope="session")
def photograph() -> NDArray[np.uint8]:
    """The (400, 600, 3) BGR picture that conversions are verified with."""
    data = files("edgeblend.converters").joinpath("data/coffee.jpg").read_bytes()
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
