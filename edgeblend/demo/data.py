"""What ``edgeblend demo`` works on: a small trained model, labelled pictures and a video."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from edgeblend.class_list import read_class_list
from edgeblend.errors import InputError
from edgeblend.files import paths

_PACKAGE = "edgeblend.demo_data"
_FILES = ("model.safetensors", "config.yaml", "classes.txt", "val.json", "video.mp4")
_FOLDER = "calibration"


@dataclass(frozen=True, slots=True)
class DemoData:
    """The files of a demo's folder; they are all there."""

    folder: Path
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...] | None
    """Category ids of the classes; None where the list of classes has none."""
    shipped: bool
    """Whether the data are edgeblend's own, of which more is known than of others."""

    @property
    def checkpoint(self) -> Path:
        """Weights."""
        return self.folder / "model.safetensors"

    @property
    def config(self) -> Path:
        """The network's YAML."""
        return self.folder / "config.yaml"

    @property
    def validation(self) -> Path:
        """COCO labels of the pictures in ``val``, which the model was not trained on."""
        return self.folder / "val.json"

    @property
    def validation_pictures(self) -> Path:
        """Folder of these pictures."""
        return self.validation.with_suffix("")

    @property
    def calibration(self) -> Path:
        """Folder of pictures to quantize with."""
        return self.folder / _FOLDER

    @property
    def recipe(self) -> Path | str:
        """How to quantize: the folder's own recipe, or the default."""
        own = self.folder / "int8.json"
        return own if paths.is_file(own) else "int8"

    @property
    def video(self) -> Path:
        """A clip with the same kinds of objects."""
        return self.folder / "video.mp4"


def find_demo_data(folder: Path | None = None) -> DemoData:
    """Return the demo's data: those that were installed, or those in a folder.

    Raises:
        InputError: there are none, or something is missing.
    """
    given = folder is not None
    folder = folder if folder is not None else _installed()
    missing = [name for name in _FILES if not paths.is_file(folder / name)]
    if not paths.is_dir(folder / _FOLDER):
        missing.append(f"{_FOLDER}/")
    if missing:
        what = (
            f"{folder}: no such folder"
            if not paths.is_dir(folder)
            else f"{folder}: lacks {', '.join(missing)}"
        )
        next_step = (
            f"a demo's folder holds {', '.join(_FILES)} and {_FOLDER}/"
            if given
            else "install edgeblend again, or pass --data"
        )
        raise InputError(f"{what}; {next_step}")
    classes = read_class_list(folder / "classes.txt")
    return DemoData(folder, classes.names, classes.category_ids, shipped=not given)


def _installed() -> Path:
    try:
        return Path(str(files(_PACKAGE)))
    except ModuleNotFoundError as error:
        raise InputError(
            "the demo's model and pictures are not installed; install edgeblend again "
            "(in a clone: `pip install -e .`), or pass --data"
        ) from error
