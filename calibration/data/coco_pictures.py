"""Where the pictures of a COCO file lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgeblend.calibration.data.coco_file import PictureList, listed
from edgeblend.calibration.data.coco_json import decode_coco
from edgeblend.errors import InputError
from edgeblend.files.paths import is_dir, is_file


def read_picture_list(path: Path) -> tuple[list[Path], list[str]]:
    """Return the pictures that a COCO file lists, whatever else it holds, and notes.

    Raises:
        InputError: the file is missing or lists no images, or pictures are missing.
    """
    content, notes = decode_coco(path, PictureList)
    files, found = find_pictures(path, None, [image.file_name for image in content.images])
    return files, [*notes, *found]


def find_pictures(
    path: Path, images: Path | str | None, names: Sequence[str]
) -> tuple[list[Path], list[str]]:
    """Return the file of each name that a COCO file lists, and notes.

    Args:
        path: the COCO file.
        images: the folder that names start from; None: the folder beside the file that is called like it,
            else the folder that the file is in.
        names: as listed; Windows' backslashes are read as slashes where no such file is there.

    Raises:
        InputError: there are no names, or there is no such folder, or files are missing.
    """
    if not names:
        raise InputError(f"{path}: expected at least one picture, got none")
    folder = _folder(path, images)
    files = [_find(folder, name) for name in names]
    if missing := [name or "''" for name, file in zip(names, files, strict=True) if file is None]:
        raise InputError(
            f"{path}: {len(missing)} of {len(files)} pictures are not in {folder}: {listed(missing)}; "
            "name the folder that the file names start from"
        )
    found = [file for file in files if file is not None]
    notes = []
    if turned := sum(file != folder / name for file, name in zip(found, names, strict=True)):
        notes.append(f"{turned} file names with backslashes were read with slashes")
    if alike := [file.name for file, count in Counter(found).items() if count > 1]:
        notes.append(f"{len(alike)} pictures listed under more than one image id: {listed(alike)}")
    return found, notes


def _folder(path: Path, images: Path | str | None) -> Path:
    if images is None:
        beside = path.with_suffix("")
        return beside if is_dir(beside) and beside != path else path.parent
    if not is_dir(images):
        what = "is a file" if is_file(images) else "no such folder"
        raise InputError(f"{images}: {what}; expected the folder with the pictures of {path}")
    return Path(images)


def _find(folder: Path, name: str) -> Path | None:
    candidates = [name, name.replace("\\", "/")]
    return next((folder / one for one in candidates if is_file(folder / one)), None)
