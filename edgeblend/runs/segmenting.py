"""Pictures segmented one after the other into a folder of results, also from where a run stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeblend import __version__
from edgeblend.bundle import Bundle
from edgeblend.errors import InputError
from edgeblend.manifest import encode_manifest
from edgeblend.runs.folder import overlay_names
from edgeblend.runs.journal import Header
from edgeblend.runs.overlays import check_overlay, encode_overlay
from edgeblend.runs.results import RunResults, digest_names
from edgeblend.runtime.assemble import PasteMode
from edgeblend.runtime.backends.base import Precision
from edgeblend.runtime.images import read_image
from edgeblend.runtime.segmenter import Segmenter
from edgeblend.terminal.output import tell
from edgeblend.terminal.printing import as_text

if TYPE_CHECKING:
    from edgeblend.results import Instances


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How pictures are segmented: options of :meth:`edgeblend.Segmenter.load`, and whether to draw."""

    backend: str | None
    device: str
    precision: Precision
    threads: int | None
    cache_dir: Path | None
    properties: dict[str, str]
    score_threshold: float | None
    paste: PasteMode
    overlays: bool

    def header(self, bundle: Bundle, paths: Sequence[Path]) -> Header:
        """Return what results depend on. Threads and where compiled graphs are kept are not part of it."""
        return Header(
            edgeblend=__version__,
            bundle=hashlib.sha256(encode_manifest(bundle.manifest)).hexdigest(),
            options={
                "backend": self.backend,
                "device": as_text(self.device),
                "precision": self.precision,
                "property": {as_text(name): as_text(value) for name, value in self.properties.items()},
                "score-threshold": self.score_threshold,
                "paste": self.paste,
                "overlays": self.overlays,
            },
            pictures=len(paths),
            pictures_sha256=digest_names(paths),
        )

    def open(self, bundle: Bundle) -> Segmenter:
        """Return a segmenter with these options."""
        return Segmenter.load(
            bundle,
            backend=self.backend,
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            cache_dir=self.cache_dir,
            properties=self.properties,
            score_threshold=self.score_threshold,
            paste=self.paste,
        )


def segment_pictures(
    bundle: Bundle,
    paths: Sequence[Path],
    results: RunResults,
    settings: RunSettings,
    *,
    show: Callable[[str], None],
) -> dict[str, Any]:
    """Segment what is left to do, and return what ran where.

    Args:
        bundle: the model.
        paths: all pictures of the run, those that are done too.
        results: where results go.
        settings: how to segment.
        show: takes a line about each picture.
    """
    with settings.open(bundle) as segmenter:
        info = asdict(segmenter.info)
        info["bundle"] = as_text(info["bundle"])
        try:
            _segment_all(segmenter, paths, results, overlays=settings.overlays, show=show)
        finally:
            # Also after an interruption: what was segmented is not lost.
            results.write_coco(_categories(segmenter))
    results.finish(info)
    return info


def _segment_all(
    segmenter: Segmenter,
    paths: Sequence[Path],
    results: RunResults,
    *,
    overlays: bool,
    show: Callable[[str], None],
) -> None:
    from tqdm import tqdm

    left = list(zip(paths, overlay_names(paths), strict=True))[results.done :]
    # disable=None: the bar shows on a terminal and is quiet in a pipe.
    hidden = None if len(paths) > 1 else True
    for path, name in tqdm(left, initial=results.done, total=len(paths), unit="picture", disable=hidden):
        try:
            instances, overlay = _segment_one(segmenter, path, overlay=overlays)
        except InputError as error:
            results.add_failure(as_text(path), as_text(error))
            tell(f"edgeblend: error: {as_text(error)}")
            continue
        results.add_picture(
            as_text(path),
            instances.frame_size,
            instances.to_coco(results.next_image),
            timings_ms=dict(instances.timings_ms),
            overlay=None if overlay is None else (name, overlay),
        )
        total = sum(instances.timings_ms.values())
        show(f"{as_text(path)}: {_summary(instances)} in {total:.0f} ms")


def _segment_one(segmenter: Segmenter, path: Path, *, overlay: bool) -> tuple[Instances, bytes | None]:
    """Return what is in a picture, and a JPEG that shows it if wanted."""
    frame = read_image(path)
    if not overlay:
        return segmenter(frame), None
    check_overlay(path, frame)
    instances = segmenter(frame)
    return instances, encode_overlay(frame, instances)


def _summary(instances: Instances) -> str:
    if len(instances) == 0:
        return "nothing detected"
    best = instances[:3]
    named = [f"{name} {score:.2f}" for name, score in zip(best.names, best.scores, strict=True)]
    listed = ", ".join(named + ["..."] * (len(instances) > len(best)))
    return f"{len(instances)} instance{'s' if len(instances) > 1 else ''} ({listed})"


def _categories(segmenter: Segmenter) -> list[dict[str, Any]]:
    return [
        {"id": category, "name": name}
        for category, name in zip(segmenter.category_ids, segmenter.class_names, strict=True)
    ]
