"""Whoever writes a file, its mode is that which the umask gives to new files."""

import os
import stat
import zipfile

import cv2
import pytest
from coloured_shapes import write_lite, write_shapes
from small_bundle import frames, write_small_bundle

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")


@pytest.fixture(params=[0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder):
    """Return the modes of the files and of the folders at and below a path."""
    found = {folder, *folder.rglob("*")}
    return (
        {stat.S_IMODE(path.stat().st_mode) for path in found if not path.is_dir()},
        {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_dir()},
    )


@pytest.fixture
def pictures(place):
    (place / "pictures").mkdir()
    for index, frame in enumerate(frames(4)):
        cv2.imwrite(str(place / "pictures" / f"{index}.png"), frame)
    return place / "pictures"


def test_of_quantizing_and_running(place, pictures, umask, cli):
    expected = {0o666 & ~umask}, {0o777 & ~umask}
    write_small_bundle(place / "small")  # whose attention safetensors writes for its owner alone
    commands = {
        "int8": ["quantize", "small", "--calibration", pictures, "--out", "int8"],
        "int8.zip": ["quantize", "small", "--calibration", pictures, "--out", "int8.zip"],
        "results": ["run", "small", pictures, "--out", "results"],
    }
    for argv in commands.values():
        code, _, stderr = cli(argv)
        assert code == 0, stderr
    assert modes(place / "small") == modes(place / "int8") == modes(place / "results") == expected
    assert modes(place / "int8.zip") == (expected[0], set())
    with zipfile.ZipFile(place / "int8.zip") as archive:
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == expected[0]


def test_of_converting(place, model, umask, cli):
    code, _, stderr = cli(model.convert_args("bundle"))
    assert code == 0, stderr
    assert modes(place / "bundle") == ({0o666 & ~umask}, {0o777 & ~umask})


def test_of_training(place, umask, cli):
    write_lite(place)
    write_shapes(place, count=2)
    given = ["--config", "lite.yaml", "--dataset", "train.json", "--weights", "none", "--epochs", "1"]
    code, _, stderr = cli(["train", *given, "--batch-size", "2", "--workers", "0", "--out", "run"])
    assert code == 0, stderr
    assert modes(place / "run") == ({0o666 & ~umask}, {0o777 & ~umask})
