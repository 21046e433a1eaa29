"""The demo from start to end: a model converted, quantized, compared and shown, in one folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeblend.arguments.checks import MOST, check_whole
from edgeblend.demo import models
from edgeblend.demo.data import DemoData, find_demo_data
from edgeblend.demo.page import page
from edgeblend.demo.pictures import choose_pictures, draw_pictures, draw_video
from edgeblend.demo.report import COMPARISON, COMPARISON_PAGE, LISTING, PAGE, DemoReport, as_document
from edgeblend.demo.steps import Steps
from edgeblend.draw.video import VideoFile
from edgeblend.errors import MissingPackageError
from edgeblend.files import paths
from edgeblend.files.staging import check_folder, stage_folder
from edgeblend.report.compare.document import as_document as comparison_document
from edgeblend.report.compare.page import page as comparison_page
from edgeblend.terminal.printing import as_text

if TYPE_CHECKING:
    from edgeblend.bundle import Bundle
    from edgeblend.calibration.data.coco import CocoDataset
    from edgeblend.calibration.evaluation.compare_report import CompareReport

_NEEDS = {
    "torch": "torch",
    "yaml": "pyyaml",
    "openvino": "openvino",
    "nncf": "nncf",
    "faster_coco_eval": "faster-coco-eval",
}
_SHOWN_PICTURES = 12


def make_demo(
    out: Path,
    *,
    data: Path | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    say: Callable[[str], None],
    progress: bool = False,
) -> tuple[DemoReport, dict[str, Any]]:
    """Make the demo's folder, whole or not at all.

    Args:
        out: folder to make.
        data: folder with another model and pictures; None: those that come with edgeblend.
        limit: compare on so many pictures at most, spread evenly.
        overwrite: whether to replace the folder of an earlier demo.
        say: takes a line about each step.
        progress: whether to show bars on stderr.

    Returns:
        What was made, and the same as JSON can hold it, comparison included.

    Raises:
        EngineError: a package is missing.
        InputError: the data are not complete, or an option's value is not valid.
        OutputError: the folder cannot be written, or holds something else.
    """
    # What can be refused is refused before anything is made.
    found = check_folder(out, listing=LISTING, overwrite=overwrite)
    source = find_demo_data(data)
    _check_installed()
    if limit is not None:
        check_whole("limit", limit, 1, MOST)
    dataset = _read_validation(source)
    video = VideoFile(source.video)
    with stage_folder(out, found) as folder:
        report = _fill(folder, source, dataset, video, limit, Steps(4, say), out=out, progress=progress)
        return report, _write(report, folder, out)


def _check_installed() -> None:
    if missing := [package for module, package in _NEEDS.items() if find_spec(module) is None]:
        raise MissingPackageError(
            f"the demo needs {', '.join(missing)}, not installed here; "
            'run `pip install "edgeblend[demo]"` (in a clone: `pip install -e ".[demo]"`)',
            name=missing[0],
            extra="demo",
        )


def _read_validation(data: DemoData) -> CocoDataset:
    from edgeblend.calibration.data.coco import read_coco

    return read_coco(data.validation, class_names=data.class_names)


def _fill(
    folder: Path,
    data: DemoData,
    dataset: CocoDataset,
    video: VideoFile,
    limit: int | None,
    steps: Steps,
    *,
    out: Path,
    progress: bool,
) -> DemoReport:
    """Make bundles, comparison, pictures and video in a folder that will be called ``out``."""
    import edgeblend

    with steps.step("convert", "converting and quantizing the checkpoint"):
        float_bundle = models.convert_model(data, folder, steps.detail)
        bundle = models.quantize_model(data, float_bundle, folder, steps.detail)
    count = len(dataset.images) if limit is None else min(limit, len(dataset.images))
    with steps.step("compare", f"comparing torch and both bundles on {count} pictures"):
        compared = _compare(data, float_bundle, bundle, limit=limit, progress=progress)
    with ExitStack() as stack:
        segmenter = stack.enter_context(edgeblend.Segmenter.load(bundle))
        with steps.step("pictures", f"drawing {_SHOWN_PICTURES} pictures"):
            (folder / "pictures").mkdir()
            chosen = choose_pictures(dataset, _SHOWN_PICTURES)
            overlays = tuple(draw_pictures(segmenter, chosen, folder / "pictures"))
        with steps.step("video", f"drawing a video of {video.count} frames"):
            drawn = draw_video(segmenter, video, folder / "video", progress=progress)
    return DemoReport(data.shipped, _placed(compared, out), bundle, overlays, drawn, steps.seconds)


def _compare(
    data: DemoData, float_bundle: Bundle, bundle: Bundle, *, limit: int | None, progress: bool
) -> CompareReport:
    import edgeblend

    with models.open_in_torch(data) as torch:
        return edgeblend.compare(
            edgeblend.Setup(float_bundle, name="OpenVINO fp32"),
            [edgeblend.Setup(bundle, name="OpenVINO int8")],
            data.validation_pictures,
            annotations=data.validation,
            beside={"torch fp32": torch},
            limit=limit,
            progress=progress,
        )


def _placed(compared: CompareReport, out: Path) -> CompareReport:
    """Return the comparison with the bundles where they will lie, not in the folder they are made in."""
    reference = compared.reference
    return replace(
        compared,
        reference=replace(reference, path=out / reference.path.name),
        candidates=tuple(replace(item, path=out / item.path.name) for item in compared.candidates),
    )


def _write(report: DemoReport, folder: Path, out: Path) -> dict[str, Any]:
    """Write pages and JSON, with a list of all files so that a later demo may replace them."""
    comparison = comparison_document(report.comparison)
    (folder / COMPARISON_PAGE).write_text(as_text(comparison_page(report.comparison)), "utf-8")
    (folder / PAGE).write_text(as_text(page(report, folder, out)), "utf-8")
    _write_json(folder / COMPARISON, comparison)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if paths.is_file(path)}
    listing = {**as_document(report, folder), "files": sorted({LISTING, *files})}
    _write_json(folder / LISTING, listing)
    return {**listing, "comparison": comparison}


def _write_json(path: Path, document: dict[str, Any]) -> None:
    import msgspec

    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
