"""One bundle on a labelled data set: how accurate it is, and how fast."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeblend.arguments.checks import check_flag, check_path, check_whole
from edgeblend.bundle import Bundle
from edgeblend.calibration.data.category_notes import category_notes
from edgeblend.calibration.data.coco import read_picture
from edgeblend.calibration.evaluation.accuracy import Accuracy, AccuracyTally
from edgeblend.calibration.evaluation.compare_inputs import read_pictures
from edgeblend.calibration.measuring.machine import Machine, this_machine
from edgeblend.calibration.measuring.setups import path_of
from edgeblend.calibration.measuring.turns import Speed, TimedSegmenter, turns
from edgeblend.manifest import Part
from edgeblend.processes.third_party_warnings import warnings_are_no_errors
from edgeblend.runtime.backends.base import Precision, SessionInfo
from edgeblend.runtime.segmenter import Segmenter
from edgeblend.runtime.sessions import engine_options


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What one bundle reached on a labelled data set."""

    bundle: Path
    """Folder or ``.zip`` of the bundle."""
    accuracy: Accuracy
    """Average precision of boxes and masks, 0 to 100, also per class and by object size. Its ``boundary`` is
    None unless it was asked for."""
    speed: Speed
    """Milliseconds per frame, from a decoded image to its instances."""
    sessions: Mapping[Part, SessionInfo]
    """Engine, device and precision of each graph, as the engine reports them."""
    machine: Machine
    """Processor and system that it ran on."""
    images: str
    """Folder of the images, as it was given."""
    annotations: str
    """COCO file of the labels, as it was given."""
    notes: tuple[str, ...]
    """Everything that was left out of the data set or changed, one line each."""


@warnings_are_no_errors()
def evaluate(
    bundle: str | Path | Bundle,
    images: str | Path,
    annotations: str | Path,
    *,
    boundary: bool = False,
    device: str = "CPU",
    precision: Precision = "f32",
    threads: int | None = None,
    limit: int | None = None,
    progress: bool = False,
) -> EvaluationReport:
    """Measure the accuracy of one bundle on a labelled data set, with COCO's metrics, and its speed.

    Classes are matched by name, whatever ids the file has. Memory grows by what the labels take, and by
    nothing else, however many images there are.

    Args:
        bundle: a folder or ``.zip``, or a loaded bundle.
        images: folder of the images.
        annotations: COCO file of images in that folder.
        boundary: whether to measure Boundary AP, too, which takes longer than the rest.
        device: where the engine runs the bundle.
        precision: what graphs are computed in, as for :meth:`edgeblend.Segmenter.load`.
        threads: CPU threads; None takes one per core.
        limit: largest number of images, spread evenly over the data set; None takes all.
        progress: whether to show a bar on stderr.

    Raises:
        BundleError: the bundle is not whole.
        EngineError: the bundle cannot be run.
        InputError: the annotations fit neither images nor classes, an image cannot be read, nothing is
            labelled, or an option's value is not valid.
        MissingPackageError: the engine or faster-coco-eval (extra ``accuracy``) is not installed.
    """
    engine_options(device=device, precision=precision, threads=threads)
    check_flag("boundary", boundary)
    check_flag("progress", progress)
    check_path("images", images)
    check_path("annotations", annotations)
    if limit is not None:
        check_whole("limit", limit, 1, sys.maxsize)
    path = path_of(bundle)
    loaded = bundle if isinstance(bundle, Bundle) else Bundle.load(path)
    pictures = read_pictures(images, annotations, loaded.manifest.things, limit=limit)
    assert pictures.labels is not None  # there are annotations
    tally = AccuracyTally(pictures.labels, boundary=boundary)
    with Segmenter.load(loaded, device=device, precision=precision, threads=threads) as segmenter:
        timed, sessions = TimedSegmenter(segmenter), segmenter.info.parts
        for chunk in turns(pictures.images, what="evaluate", progress=progress):
            found = timed.take_turn([read_picture(image) for image in chunk])
            for image, instances in zip(chunk, found, strict=True):
                tally.add(image, instances)
    return EvaluationReport(
        bundle=path,
        accuracy=tally.accuracy(),
        speed=timed.speed(),
        sessions=sessions,
        machine=this_machine(),
        images=str(images),
        annotations=str(annotations),
        notes=(*pictures.notes, *category_notes({path.name: loaded}, pictures.labels)),
    )
