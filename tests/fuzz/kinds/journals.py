"""Journals of runs, which ``run --resume`` goes on from and ``run --overwrite`` clears by."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from edgeblend.errors import InputError, OutputError
from edgeblend.runs.folder import OVERLAYS, check_out, clear
from edgeblend.runs.journal import JOURNAL_FILE, Header
from edgeblend.runs.results import RunResults, digest_names

from ..mutate_bytes import mutate_bytes
from ..mutate_tree import mutate_tree
from .kind import Kind, expect

_PATHS = tuple(Path("pictures", name) for name in ("a.png", "b.png", "c.png", "d.png"))
_OVERLAY = b"overlay"
_HEADER = {
    "edgeblend": "1.0",
    "bundle": "0" * 64,
    "options": {"backend": None, "device": "CPU", "score-threshold": 0.5, "property": {}},
    "pictures": len(_PATHS),
    "pictures_sha256": digest_names(_PATHS),
}


def _picture(number: int, path: Path) -> dict[str, Any]:
    mask = {"size": [12, 16], "counts": "o06k4"}
    found = {"image_id": number, "category_id": 3, "bbox": [3, 2, 8, 7], "score": 0.5, "segmentation": mask}
    return {
        "line": "picture",
        "image": {"id": number, "file_name": str(path), "height": 12, "width": 16},
        "annotations": [found] * number,
        "file": str(path),
        "timings_ms": {"detector": 1.5},
        "overlay": f"{path.stem}.jpg",
        "overlay_bytes": len(_OVERLAY),
    }


def _lines() -> list[Any]:
    a, b, c, d = _PATHS
    failure = {"line": "failure", "file": str(b), "error": "cannot be read"}
    return [
        {"line": "run", **_HEADER},
        *(_picture(1, a), failure, _picture(2, c), _picture(3, d)),
        {"line": "end", "info": {"target": "tflite"}},
    ]


def _write(folder: Path) -> None:
    _write_run(folder, _encoded(_lines()))


def _write_run(folder: Path, journal: bytes) -> None:
    """Write what a run leaves; and files that are no run's, beside its folder and above."""
    out = folder / "out"
    (out / OVERLAYS).mkdir(parents=True)
    (out / JOURNAL_FILE).write_bytes(journal)
    (out / "instances.json").write_text("{}")
    for name in "acd":
        (out / OVERLAYS / f"{name}.jpg").write_bytes(_OVERLAY)
    (folder / "x").write_text("precious")


def _encoded(lines: list[Any]) -> bytes:
    return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)


def _make(random: Random, folder: Path) -> None:
    lines = _lines()
    if random.random() < 0.3:
        del lines[random.randrange(1, len(lines)) :]  # stopped on the way
    place = random.randrange(len(lines))
    how = random.choice(("value", "value", "value", "lines", "bytes"))
    if how == "value":
        lines[place] = mutate_tree(lines[place], random)
    elif how == "lines":
        lines.insert(random.randrange(len(lines)), lines[place])
        del lines[random.randrange(len(lines))]
    data = _encoded(lines)
    _write_run(folder, mutate_bytes(data, random) if how == "bytes" else data)


def _run(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as home:
        resumed, cleared = Path(home, "resumed"), Path(home, "cleared")
        shutil.copytree(folder, resumed)
        shutil.copytree(folder, cleared)
        _check_clear(cleared)
        _check_resume(resumed)


def _check_clear(home: Path) -> None:
    """Overwriting deletes what a run wrote, or refuses; nothing else is touched."""
    try:
        check_out(home / "out", overwrite=True, resume=False)
        clear(home / "out")
    except OutputError:
        expect((home / "out" / JOURNAL_FILE).is_file(), "it was refused after something was deleted")
    else:
        expect(not any((home / "out").iterdir()), "something of the run is left")
    expect((home / "x").read_text() == "precious", "another file was changed")


def _check_resume(home: Path) -> None:
    """Going on, and being stopped at once, leaves a whole COCO file of the pictures that were done."""
    out = home / "out"
    check_out(out, overwrite=False, resume=True)
    results = RunResults(out, Header(**_HEADER), overlays=True, overwrite=False)
    try:
        results.resume(_PATHS)
        expect(0 <= results.done <= len(_PATHS), "more pictures are done than there are")
        expect(results.end is None or results.done == len(_PATHS), "a run is complete that is not")
        results.write_coco([{"id": 3, "name": "cup"}])
        lines = list(results.lines())
    finally:
        results.close()
    expect(len(lines) in (0, results.done + 1, results.done + 2), "lines are counted that are not there")
    document = json.loads((out / "instances.json").read_text())
    if lines and results.end is None:
        images = [image["id"] for image in document["images"]]
        expect(images == list(range(1, results.images + 1)), "pictures have other numbers")
        numbers = [item["id"] for item in document["annotations"]]
        expect(numbers == list(range(1, len(numbers) + 1)), "objects have other numbers")
    expect((home / "x").read_text() == "precious", "another file was changed")


KINDS = (Kind("run-journal", _make, _run, (InputError, OutputError), _write, share=5),)
