"""JSON that is broken, of another type or too deep is an error that each reader documents, never another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeblend.calibration.data.coco import read_coco
from edgeblend.converters.quantize.recipe_files import load_recipe
from edgeblend.errors import BundleError, EdgeBlendError, InputError, OutputError
from edgeblend.files.replaceable import check_folder
from edgeblend.manifest import decode_manifest
from edgeblend.runs.journal import is_torn_header, read_header

BROKEN = {
    "lists in lists": b'{"line":"run","a":' + b"[" * 100_000 + b"\n",
    "objects in objects": b'{"a":' * 100_000 + b"\n",
    "deep and whole": b'{"files":' + b"[" * 5000 + b"]" * 5000 + b"}\n",
    "no UTF-8": b'{"line":"run","name":"\xff"}\n',
    "cut off": b'{"line":"run","name":\n',
    "a list": b"[1]\n",
    "nothing": b"",
}


def _no_header(path: Path) -> None:
    assert read_header(path) is None
    is_torn_header(path)
    raise InputError("none")


def _not_ours(path: Path) -> None:
    (path.parent / "page.html").write_text("precious")
    check_folder(path.parent, listing=path.name, overwrite=True)


READERS: dict[str, tuple[Callable[[Path], object], type[EdgeBlendError]]] = {
    "manifest": (lambda path: decode_manifest(path.read_bytes(), source="bundle"), BundleError),
    "recipe": (load_recipe, InputError),
    "COCO file": (read_coco, InputError),
    "journal": (_no_header, InputError),
    "listing": (_not_ours, OutputError),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("broken", BROKEN)
def test_json_that_is_none_is_an_error_of_the_package(broken: str, reader: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "file.json"
    path.write_bytes(BROKEN[broken])
    read, expected = READERS[reader]
    with pytest.raises(expected):
        read(path)
