"""Where pictures come from: a file, a folder or a glob, as somebody types it."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeblend.arguments.checks import check_path
from edgeblend.calibration.data.globbing import glob_once
from edgeblend.calibration.data.video import VIDEO_SUFFIXES
from edgeblend.errors import InputError
from edgeblend.files.paths import exists, is_dir, is_file
from edgeblend.runtime.images import IMAGE_SUFFIXES

SourceKind = Literal["picture", "folder", "glob", "video", "COCO file", "address", "camera"]

TAKES_FRAMES = (
    "`edgeblend quantize --calibration`, `sensitivity --calibration` and `bench --images` take pictures, "
    "COCO files and videos"
)
TAKES_STREAMS = "in Python, Segmenter.stream takes the frames of cv2.VideoCapture"

# scheme://, or with one slash where a path made of it swallowed the other; C:\x.png and a:b.png are neither.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(?:file|ftp|gs|https?|rtmps?|rtsps?|s3|srt|tcp|udp):/")
_JUNK = frozenset({"desktop.ini", "thumbs.db"})


@dataclass(frozen=True, slots=True)
class FoundImages:
    """Picture files, and what there was besides."""

    paths: tuple[Path, ...]
    """Paths of the images, sorted, each once; at least one."""
    notes: tuple[str, ...]
    """How many files of which suffix were passed over, one sentence each."""


def find_images(pattern: str | Path) -> list[Path]:
    """Return the picture files that ``pattern`` names; see :func:`look_for_images`."""
    return list(look_for_images(pattern).paths)


def look_for_images(pattern: str | Path) -> FoundImages:
    """Return the picture files that ``pattern`` names, sorted, and what was passed over.

    - A file: itself, whatever its suffix, unless it is a video or a COCO file.
    - A folder: the pictures directly in it. For those in its sub-folders too, use ``folder/**``.
    - A glob, with ``**`` for any depth: the pictures among its matches. Links to folders are followed; a
      folder that ``**`` reaches in several ways is looked into once.

    ``~`` is the home folder. A name that exists is taken as it stands, even with ``*``, ``?`` or ``[``
    in it. In folders and globs, pictures are the files with a suffix in ``IMAGE_SUFFIXES``, in any case.
    Hidden files, and those that systems leave everywhere (``Thumbs.db``), are nothing to anybody.

    Raises:
        InputError: there is none, or ``pattern`` names something else; says which command takes that.
    """
    check_path("images", pattern)
    kind = source_kind(pattern)
    path = expand_home(Path(pattern))
    if kind == "picture":
        return FoundImages((path,), ())
    if kind == "folder":
        found, others = _sort_out(_listed(path))
        hint = f"for its sub-folders write {path / '**'}"
    elif kind == "glob":
        found, others = _sort_out(glob_once(path))
        hint = "quote the glob if the shell expands it"
    else:
        raise InputError(f"{pattern}: {_why_no_pictures(kind)}")
    notes = _passed_over(pattern, others)
    if not found:
        raise InputError(
            f"{path}: no pictures found ({' '.join(sorted(IMAGE_SUFFIXES))}); {'; '.join([*notes, hint])}"
        )
    return FoundImages(tuple(found), notes)


def source_kind(source: str | Path) -> SourceKind:
    """Return what somebody names where pictures or frames are wanted.

    What exists goes before what its name looks like, so a file called ``a:b.png`` is a file.

    Raises:
        InputError: the name is empty, or nothing is there.
    """
    text = str(source)
    if not text.strip():
        raise InputError("expected a picture, a folder or a glob, got an empty name")
    path = expand_home(Path(source))
    if is_dir(path):
        return "folder"
    if is_file(path):
        return _file_kind(path)
    if _ADDRESS.match(text):
        return "address"
    if (text.isascii() and text.isdigit()) or exists(path):  # a device node is there, but no file
        return "camera"
    if glob.has_magic(str(path)):
        return "glob"
    raise InputError(f"{path}: no such file or folder; check the path")


def expand_home(path: Path) -> Path:
    """Return ``path`` with a leading ``~`` resolved, unless it exists literally."""
    if exists(path):
        return path
    try:
        return path.expanduser()
    except RuntimeError as error:  # ~name of nobody
        raise InputError(f"{path}: {error}; check the path") from None


def _file_kind(path: Path) -> SourceKind:
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "video"
    return "COCO file" if suffix == ".json" else "picture"


def _why_no_pictures(kind: SourceKind) -> str:
    if kind == "video":
        return f"a video, but pictures are wanted here; {TAKES_FRAMES}; {TAKES_STREAMS}"
    if kind == "COCO file":
        return (
            "a JSON file, but pictures are wanted here; name the folder of its pictures; `edgeblend compare "
            f"--annotations` takes COCO files, and {TAKES_FRAMES}"
        )
    return why_no_file(kind)


def why_no_file(kind: SourceKind) -> str:
    """Return why an address or a camera is no source of frames, and what to do."""
    if kind == "address":
        return f"an address, and only files are read here; copy or record it to a file; {TAKES_STREAMS}"
    return f"a camera or another device, and only files are read here; record it to a file; {TAKES_STREAMS}"


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error}") from None


def _sort_out(paths: Iterable[Path]) -> tuple[list[Path], Counter[str]]:
    """Return the picture files among ``paths``, sorted, each once, and how many others have which suffix."""
    pictures: set[Path] = set()
    others: dict[Path, str] = {}
    for path in paths:
        if path.name.startswith(".") or path.name.lower() in _JUNK or not is_file(path):
            continue
        if path.suffix.lower() in IMAGE_SUFFIXES:
            pictures.add(path)
        else:
            others[path] = path.suffix.lower()
    return sorted(pictures), Counter(others.values())


def _passed_over(pattern: str | Path, others: Counter[str]) -> tuple[str, ...]:
    if not others:
        return ()
    counts = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in sorted(others.items()))
    videos = f"; {TAKES_FRAMES}, one at a time" if VIDEO_SUFFIXES & others.keys() else ""
    total = sum(others.values())
    files = "1 file that is no picture was" if total == 1 else f"{total} files that are no pictures were"
    return (f"{pattern}: {files} passed over: {counts}{videos}",)
