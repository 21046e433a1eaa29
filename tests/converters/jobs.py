"""What tests do at once, and what must not differ when it is done at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tiny_model import CLASS_NAMES, TinyModel

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.calibration.evaluation.compare_report import CompareReport

QUICK = edgeblend.Recipe(name="quick", bias_correction="none")


def content(bundle: Bundle) -> Any:  # noqa: ANN401
    """Return what must not differ: the files by their digests, and what verification measured."""
    manifest = bundle.manifest
    return {file.name: file.sha256 for file in manifest.files}, manifest.verification


def found_in(segmenter: edgeblend.Segmenter, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Any]]:
    """Return what must not differ between runs, each bit of it."""
    found = [segmenter(picture) for picture in pictures]
    return [[each.boxes.tolist(), each.scores.tolist(), each.mask_probs.tolist()] for each in found]


def judged(report: CompareReport) -> str:
    """Return what must not differ between comparisons: neither time nor memory."""
    candidates = [
        (
            each.status,
            each.reason,
            each.drop,
            each.agreement,
            each.sqnr,
            each.figures and each.figures.accuracy,
        )
        for each in report.candidates
    ]
    return repr((report.reference.figures.accuracy, report.num_images, candidates))


@dataclass(frozen=True, slots=True)
class Jobs:
    """The four things that are done at once; each returns what must not differ."""

    tiny: TinyModel
    converted: Bundle
    quantized: Bundle
    calibration: Path
    labelled: Path
    cache: Path | None

    def convert(self, out: Path) -> object:
        options: Any = {"config": self.tiny.config, "class_names": CLASS_NAMES}
        target = self.converted.manifest.target
        return content(edgeblend.convert(self.tiny.checkpoint, out, target=target, **options))

    def quantize(self, out: Path) -> object:
        return content(edgeblend.quantize(self.converted, out, calibration=self.calibration, recipe=QUICK))

    def run(self, out: Path) -> object:
        pictures = [edgeblend.read_image(path) for path in sorted(self.calibration.iterdir())]
        with edgeblend.Segmenter.load(self.quantized, cache_dir=self.cache) as segmenter:
            return found_in(segmenter, pictures)

    def compare(self, out: Path) -> object:
        pictures, annotations = self.labelled / "pictures", self.labelled / "labels.json"
        report = edgeblend.compare(
            self.converted, [self.quantized], pictures, annotations=annotations, limit=2, disagreements=0
        )
        return judged(report)
