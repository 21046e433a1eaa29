"""Candidates judged against a reference bundle: accuracy, agreement, noise, speed, size and memory."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgeblend.arguments.checks import check_flag, check_number, check_path, check_whole
from edgeblend.bundle import Bundle
from edgeblend.calibration.data.category_notes import category_notes
from edgeblend.calibration.data.coco import CocoDataset, CocoImage, read_picture
from edgeblend.calibration.evaluation.accuracy import count_objects
from edgeblend.calibration.evaluation.agreement_totals import JUDGED_SCORE
from edgeblend.calibration.evaluation.compare_inputs import check_beside, load_bundles, read_pictures, spread
from edgeblend.calibration.evaluation.compare_report import (
    BundleFigures,
    ComparedBeside,
    ComparedCandidate,
    ComparedReference,
    CompareReport,
    judged_drop,
)
from edgeblend.calibration.evaluation.comparison import (
    Contender,
    Failed,
    Measured,
    measure_side_by_side,
    noting_failure,
)
from edgeblend.calibration.evaluation.recording import run_graphs
from edgeblend.calibration.evaluation.sqnr import OutputSqnr, SqnrTally
from edgeblend.calibration.measuring.machine import this_machine
from edgeblend.calibration.measuring.peak_memory import measure_peak_memory
from edgeblend.calibration.measuring.setups import AnyBundle, RunOptions, path_of, resolve
from edgeblend.calibration.measuring.turns import counted
from edgeblend.errors import BundleError, EngineError
from edgeblend.manifest import Part
from edgeblend.processes.third_party_warnings import warnings_are_no_errors
from edgeblend.runtime.backends.base import Precision, Session
from edgeblend.runtime.segmenter import Segmenter
from edgeblend.runtime.sessions import engine_options, open_sessions

MAX_AP_DROP = 0.5
"""AP points that a candidate may lose, where there are labels and nothing else is asked for."""
MAX_DISAGREEMENT = 5.0
"""Points below 100 that the agreement may be, where there are no labels and nothing else is asked for."""
SQNR_FRAMES = 32
_MEMORY_FRAMES = 3
_CLEAR_OF_THRESHOLD = 0.05
"""How far the judged score stays above the models' own threshold, at which detections come and go."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A bundle to compare, and how it runs."""

    path: Path
    bundle: Bundle | BundleError
    options: RunOptions


@dataclass(frozen=True, slots=True)
class _Open:
    """A bundle on its engine."""

    bundle: Bundle
    sessions: Mapping[Part, Session]
    segmenter: Segmenter


@warnings_are_no_errors()
def compare(
    reference: AnyBundle,
    candidates: Sequence[AnyBundle],
    images: str | Path,
    *,
    annotations: str | Path | None = None,
    max_drop: float | None = None,
    device: str = "CPU",
    precision: Precision = "f32",
    threads: int | None = None,
    beside: Mapping[str, Segmenter] | None = None,
    limit: int | None = None,
    disagreements: int = 6,
    progress: bool = False,
) -> CompareReport:
    """Judge candidates against a reference, all in one run on the same pictures.

    Args:
        reference: the bundle that is right, usually float32. Like a candidate it can be an
            :class:`edgeblend.Setup`: a bundle with a device, an engine or other options of its own.
        candidates: bundles of the same classes. One that cannot be loaded or run is reported, and the others
            go on.
        images: a folder of pictures, or without annotations also a picture or a glob.
        annotations: a COCO file of pictures in that folder, to measure AP with; None compares without labels.
        max_drop: how much a candidate may lose: AP points with annotations (default 0.5), agreement below 100
            without (default 5).
        device: where the engine runs every bundle whose setup names none.
        precision: what graphs are computed in, as for :meth:`edgeblend.Segmenter.load`; likewise.
        threads: CPU threads of each; None takes one per core; likewise.
        beside: segmenters of the same classes by name, such as the model in torch. They take turns with the
            bundles; their accuracy, agreement and speed are reported and not judged. The caller closes them.
        limit: measure on so many pictures at most, spread evenly.
        disagreements: how many pictures to keep for each candidate where it disagrees most.
        progress: whether to show bars on stderr.

    Raises:
        BundleError: the reference is not whole, or a candidate is not there.
        EngineError: the reference or a segmenter beside it cannot be run.
        OutputError: the temporary folder cannot be written.
        InputError: candidates have other classes, annotations fit neither pictures nor classes, there are no
            pictures or candidates, or an option's value is not valid.

    Example:
        >>> report = edgeblend.compare("bundle", ["bundle-int8"], "images", max_drop=50)
        >>> report.ok, report.candidates[0].status
        (True, 'OK')
        >>> report.candidates[0].drop == 100 - report.candidates[0].agreement.agreement
        True
    """
    shared = RunOptions(device=device, precision=precision, threads=threads)
    engine_options(**shared.as_arguments())
    check_whole("disagreements", disagreements, 0, sys.maxsize)
    check_flag("progress", progress)
    check_path("images", images)
    if annotations is not None:
        check_path("annotations", annotations)
    if limit is not None:
        check_whole("limit", limit, 1, sys.maxsize)
    allowed = _allowed_drop(max_drop, labelled=annotations is not None)
    entries = {
        name: _Entry(path_of(setup.bundle), bundle, resolve(setup, shared))
        for name, (setup, bundle) in load_bundles(reference, candidates).items()
    }
    reference_name, *candidate_names = entries
    classes = _classes(entries[reference_name])
    others = check_beside(beside, names=entries, class_names=classes)
    pictures = read_pictures(images, annotations, classes, limit=limit)
    failures = {
        name: str(item.bundle) for name, item in entries.items() if isinstance(item.bundle, BundleError)
    }
    memory = _measure_memory(entries, failures, pictures.images, progress=progress)
    with ExitStack() as stack:
        opened = _open(entries, failures, stack)
        segmenters = {**{name: item.segmenter for name, item in opened.items()}, **others}
        judged_score = _judged_score(segmenters.values())
        results = measure_side_by_side(
            [Contender(name, segmenter) for name, segmenter in segmenters.items()],
            pictures.images,
            labels=pictures.labels,
            boundary=True,
            judged_score=judged_score,
            keep=disagreements,
            progress=progress,
        )
        failures |= {result.name: result.reason for result in results if isinstance(result, Failed)}
        for name in others:
            if name in failures:
                raise EngineError(f"{name}: cannot be run: {failures[name]}")
        frames = spread(pictures.images, SQNR_FRAMES)
        sqnr = _measure_sqnr(opened, failures, frames, progress=progress)
    measured = {result.name: result for result in results if isinstance(result, Measured)}
    figures = {
        name: _figures(opened[name], measured[name], memory[name]) for name in entries if name not in failures
    }
    first = figures[reference_name]
    return CompareReport(
        reference=ComparedReference(
            reference_name, entries[reference_name].path, entries[reference_name].options, first
        ),
        beside=tuple(_beside(segmenter, measured[name]) for name, segmenter in others.items()),
        candidates=tuple(
            _failed(name, entries[name], failures[name])
            if name in failures
            else _judge(entries[name], first, figures[name], measured[name], sqnr[name], allowed)
            for name in candidate_names
        ),
        images=str(images),
        annotations=None if annotations is None else str(annotations),
        num_images=len(pictures.images),
        num_objects=None if pictures.labels is None else count_objects(pictures.labels),
        max_drop=allowed,
        judged_score=judged_score,
        sqnr_frames=len(frames),
        machine=this_machine(),
        notes=(*pictures.notes, *_category_notes(opened, pictures.labels)),
    )


def _allowed_drop(given: float | None, *, labelled: bool) -> float:
    if given is None:
        return MAX_AP_DROP if labelled else MAX_DISAGREEMENT
    return check_number("max_drop", given, lowest=0)


def _classes(reference: _Entry) -> tuple[str, ...]:
    assert isinstance(reference.bundle, Bundle)  # the reference's error was raised
    return reference.bundle.manifest.things


def _category_notes(opened: Mapping[str, _Open], labels: CocoDataset | None) -> tuple[str, ...]:
    if labels is None:
        return ()
    return category_notes({name: item.bundle for name, item in opened.items()}, labels)


def _measure_memory(
    entries: Mapping[str, _Entry],
    failures: dict[str, str],
    images: Sequence[CocoImage],
    *,
    progress: bool,
) -> dict[str, int | None]:
    """Return peak memory by name. Comes first: a bundle that kills its process then does not end this one."""
    paths = [image.path for image in spread(images, _MEMORY_FRAMES)]
    whole = {
        name: (item.bundle.path, item.options)
        for name, item in entries.items()
        if isinstance(item.bundle, Bundle)
    }
    reference = next(iter(whole))
    memory: dict[str, int | None] = {}
    for name in counted(list(whole), "memory", unit="bundle", progress=progress):
        with noting_failure(failures, name, fatal=name == reference):
            path, options = whole[name]
            memory[name] = measure_peak_memory(path, paths, **options.as_arguments())
    return memory


def _open(entries: Mapping[str, _Entry], failures: dict[str, str], stack: ExitStack) -> dict[str, _Open]:
    opened: dict[str, _Open] = {}
    for name, item in entries.items():
        if isinstance(item.bundle, Bundle) and name not in failures:
            with noting_failure(failures, name, fatal=not opened):
                sessions = open_sessions(item.bundle, **item.options.as_arguments())
                segmenter = stack.enter_context(Segmenter.from_sessions(item.bundle, sessions))
                opened[name] = _Open(item.bundle, sessions, segmenter)
    return opened


def _judged_score(segmenters: Iterable[Segmenter]) -> float:
    thresholds = [segmenter.info.score_threshold for segmenter in segmenters]
    return max(JUDGED_SCORE, max(thresholds) + _CLEAR_OF_THRESHOLD)


def _measure_sqnr(
    opened: Mapping[str, _Open],
    failures: dict[str, str],
    images: Sequence[CocoImage],
    *,
    progress: bool,
) -> dict[str, tuple[OutputSqnr, ...]]:
    """Return every candidate's noise by name; apart from what is timed, since copying outputs takes time."""
    reference, *others = opened
    tallies = {name: SqnrTally() for name in others if name not in failures}
    for image in counted(images, "noise", unit="picture", progress=progress):
        picture = read_picture(image)
        item = opened[reference]
        expected = run_graphs(item.sessions, item.bundle.manifest, picture)
        for name in [name for name in tallies if name not in failures]:
            with noting_failure(failures, name):
                candidate = opened[name]
                actual = run_graphs(candidate.sessions, candidate.bundle.manifest, picture)
                tallies[name].add(expected, actual)
    return {name: tally.outputs() for name, tally in tallies.items()}


def _figures(item: _Open, measured: Measured, memory: int | None) -> BundleFigures:
    manifest = item.bundle.manifest
    return BundleFigures(
        bytes=sum(file.size for file in manifest.files),
        weights={part: graph.precision for part, graph in manifest.graphs.items()},
        sessions=item.segmenter.info.parts,
        speed=measured.speed,
        peak_memory=memory,
        accuracy=measured.accuracy,
    )


def _beside(segmenter: Segmenter, measured: Measured) -> ComparedBeside:
    assert measured.agreement is not None  # it is not the reference
    return ComparedBeside(
        name=measured.name,
        sessions=segmenter.info.parts,
        speed=measured.speed,
        accuracy=measured.accuracy,
        agreement=measured.agreement,
    )


def _judge(
    item: _Entry,
    reference: BundleFigures,
    figures: BundleFigures,
    measured: Measured,
    sqnr: tuple[OutputSqnr, ...],
    allowed: float,
) -> ComparedCandidate:
    assert measured.agreement is not None  # it is not the reference
    drop = judged_drop(reference.accuracy, figures.accuracy, measured.agreement)
    return ComparedCandidate(
        name=measured.name,
        path=item.path,
        options=item.options,
        status="OK" if drop <= allowed else "DROP",
        reason=None,
        drop=drop,
        figures=figures,
        agreement=measured.agreement,
        sqnr=sqnr,
        disagreements=measured.disagreements,
    )


def _failed(name: str, item: _Entry, reason: str) -> ComparedCandidate:
    return ComparedCandidate(
        name=name,
        path=item.path,
        options=item.options,
        status="FAILED",
        reason=reason,
        drop=None,
        figures=None,
        agreement=None,
        sqnr=(),
        disagreements=(),
    )
