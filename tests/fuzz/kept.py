"""Inputs that were found once, each with the right outcome; ``corpus/README.md`` says how they are kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec

from .samples import bundle_files, manifest_of, write_bundle

FOLDER = Path(__file__).parent / "corpus"
EDITS = "edits.json"


def outcomes() -> dict[str, str]:
    """Return the right outcome of each case, such as ``refused ConfigError``, by what ``--only`` takes."""
    return dict(json.loads((FOLDER / "outcomes.json").read_text()))


def copy_input(kind: str, name: str, folder: Path) -> None:
    """Write an input into a folder: the files that are kept, or a bundle that they are a part of."""
    source = FOLDER / kind / name
    if (source / EDITS).is_file():
        edits = json.loads((source / EDITS).read_text())
        replaced = {path.name: path.read_bytes() for path in source.iterdir() if path.name != EDITS}
        contents = {**bundle_files(edits["bundle"]), **replaced}
        manifest = manifest_of(edits["bundle"], contents)
        for path, value in edits["set"].items():
            _put(manifest, path.split("."), value)
        write_bundle(folder, contents, msgspec.json.encode(manifest))
    else:
        shutil.copytree(source, folder, dirs_exist_ok=True)


def _put(tree: Any, path: list[str], value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Set what ``["graphs", "detector", "outputs", "0", "name"]`` leads to, which must be there."""
    for key in path[:-1]:
        tree = tree[int(key) if isinstance(tree, list) else key]
    last: Any = int(path[-1]) if isinstance(tree, list) else path[-1]
    tree[last]  # noqa: B018 - a KeyError for a field that has moved
    tree[last] = value
