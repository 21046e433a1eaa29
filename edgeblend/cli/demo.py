"""``edgeblend demo``: a shipped model converted, measured and shown, in one command."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from edgeblend.errors import InputError, MissingPackageError
from edgeblend.files import paths
from edgeblend.terminal.output import show, tell
from edgeblend.terminal.printing import aligned, print_json, print_rows

if TYPE_CHECKING:
    from edgeblend.calibration.data.coco import CocoDataset
    from edgeblend.demo.data import DemoData
    from edgeblend.demo.report import DemoReport
    from edgeblend.draw.video import VideoFile

REPORT, PAGE = "comparison.json", "index.html"
_NEEDS = {
    "torch": "torch",
    "yaml": "pyyaml",
    "openvino": "openvino",
    "nncf": "nncf",
    "faster_coco_eval": "faster-coco-eval",
}
_SHOWN_PICTURES = 12
_TEXT_WIDTH = 100
_EPILOG = """\
writes OUT/index.html (open it in a browser), OUT/bundle and OUT/bundle-int8 (for `edgeblend run`),
OUT/pictures, OUT/video.webm and OUT/comparison.json. Takes two or three minutes on two CPU cores.

example:
  edgeblend demo
"""


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        parents=[common],
        help="see it work: convert, quantize, measure and show a small trained model",
        description="Convert and quantize a small trained model, compare it with torch, show what it finds.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        "-o",
        type=Path,
        default=Path("edgeblend-demo"),
        help="folder to make (default: edgeblend-demo)",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="another model and pictures, laid out alike")
    parser.add_argument(
        "--pictures", type=int, metavar="N", help="measure on the first N pictures only (default: all)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the folder of an earlier demo")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Make the demo and say where it is."""
    import cv2

    from edgeblend.demo.data import find_demo_data
    from edgeblend.draw.video import VideoFile
    from edgeblend.files.staging import check_folder, stage_folder

    # What OpenCV cannot do is said once, by us; this process is ours, so the level is, too.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # What can be refused is refused before anything is made.
    found = check_folder(args.out, listing=REPORT, overwrite=args.overwrite)
    data = find_demo_data(args.data)
    _check_installed()
    dataset = _read_validation(data, args.pictures)
    video = VideoFile(data.video)
    with stage_folder(args.out, found) as folder:
        report, document = _make(folder, data, dataset, video, args.out)
    if args.json:
        print_json({"out": str(args.out), **document})
    else:
        _print(report, args.out)
    return 0


def _check_installed() -> None:
    if missing := [package for module, package in _NEEDS.items() if find_spec(module) is None]:
        raise MissingPackageError(
            f"the demo needs {', '.join(missing)}, not installed here; "
            'run `pip install "edgeblend[demo]"` (in a clone: `pip install -e ".[demo]"`)',
            name=missing[0],
            extra="demo",
        )


def _read_validation(data: DemoData, count: int | None) -> CocoDataset:
    from edgeblend.calibration.data.coco import read_coco

    if count is not None and count < 1:
        raise InputError(f"--pictures must be at least 1, got {count}")
    dataset = read_coco(data.validation, class_names=data.class_names)
    return replace(dataset, images=dataset.images[:count])


@dataclass(slots=True)
class _Steps:
    """Says on a terminal what happens now, and keeps how long each step took."""

    total: int
    seconds: dict[str, float] = field(default_factory=dict)
    shown: bool = field(default_factory=lambda: sys.stderr.isatty())
    _started: float = field(default_factory=time.perf_counter)

    def begin(self, what: str) -> None:
        self._say(f"[{len(self.seconds) + 1}/{self.total}] {what}")
        self._started = time.perf_counter()

    def end(self, name: str) -> None:
        self.seconds[name] = time.perf_counter() - self._started

    def detail(self, what: str) -> None:
        self._say(f"      {what} ...")

    def _say(self, line: str) -> None:
        if self.shown:
            tell(line)


def _make(
    folder: Path, data: DemoData, dataset: CocoDataset, video: VideoFile, out: Path
) -> tuple[DemoReport, dict[str, Any]]:
    """Fill the folder, which will be called ``out``; returns the report, also as JSON can hold it."""
    from edgeblend.demo.candidates import CANDIDATES
    from edgeblend.demo.comparison import compare
    from edgeblend.demo.pictures import choose_pictures, draw_pictures, draw_video
    from edgeblend.demo.report import DemoReport

    steps = _Steps(total=4)
    with ExitStack() as stack:
        steps.begin("converting and quantizing the checkpoint")
        candidates = []
        for make in CANDIDATES:
            candidates.append(make(data, folder, steps.detail))
            stack.enter_context(candidates[-1].segmenter)
        steps.end("convert")

        named = ", ".join(f"{candidate.name} {candidate.precision}" for candidate in candidates)
        steps.begin(f"comparing {named} on {len(dataset.images)} pictures")
        measured = compare(candidates, dataset, progress=steps.shown)
        steps.end("compare")

        best = candidates[-1].segmenter
        steps.begin(f"drawing {_SHOWN_PICTURES} pictures")
        (folder / "pictures").mkdir()
        chosen = choose_pictures(dataset, _SHOWN_PICTURES)
        overlays = tuple(draw_pictures(best, chosen, folder / "pictures"))
        steps.end("pictures")

        steps.begin(f"drawing a video of {video.count} frames")
        drawn = draw_video(best, video, folder / "video", progress=steps.shown)
        steps.end("video")
    report = DemoReport(data.shipped, tuple(measured), overlays, drawn, steps.seconds)
    return report, _write_report(report, folder, out)


def _write_report(report: DemoReport, folder: Path, out: Path) -> dict[str, Any]:
    """Write the page and the JSON, which lists all files so that a later demo may replace them."""
    import msgspec

    from edgeblend.demo.page import page
    from edgeblend.demo.report import as_document

    (folder / PAGE).write_text(page(report, folder, _next(report, out)), "utf-8")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if paths.is_file(path)}
    document = {**as_document(report, folder), "files": sorted({REPORT, *files})}
    (folder / REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    return document


def _next(report: DemoReport, out: Path) -> list[tuple[str, str]]:
    """Return what to try next, and the command for it."""
    bundle = out / report.bundle.path.name
    known = " (this model knows drawn objects; on photographs of real ones expect little)"
    return [
        (
            f"segment pictures of your own{known if report.shipped else ''}",
            f"edgeblend run {bundle} YOUR_PICTURES --out results",
        ),
        (
            "teach it your own objects; docs/training.md says how",
            "edgeblend train --config Lite0_320 --dataset train.json --validation val.json --out my-model",
        ),
        (
            "quantize a model of your own; docs/quantization.md says how to trust the result",
            "edgeblend quantize my-bundle --calibration YOUR_PICTURES --out my-int8",
        ),
        (
            "see what is in the bundle; docs/python.md says how a program uses it, with a camera for example",
            f"edgeblend inspect {bundle}",
        ),
    ]


def _print(report: DemoReport, out: Path) -> None:
    from edgeblend.demo.report import HEADINGS, explanations, rows

    for line in aligned([HEADINGS, *rows(report.measured)]):
        show(line)
    show()
    for line in explanations(report):
        show(fill(line, _TEXT_WIDTH, subsequent_indent="  "))
    show()
    print_rows(
        [
            ("look at", f"{out / PAGE} (in a browser)"),
            ("video", f"{out / report.video.path.name} ({report.video.codec.name})"),
            ("bundle", str(out / report.bundle.path.name)),
            ("figures", str(out / REPORT)),
        ]
    )
    show()
    for what, command in _next(report, out):
        show(f"{what}:")
        show(f"  {command}")
