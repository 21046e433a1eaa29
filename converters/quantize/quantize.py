"""A float bundle and frames in, an integer bundle out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgeblend.arguments.callbacks import Say, callback
from edgeblend.arguments.checks import check_path
from edgeblend.bundle import Bundle, stage_bundle
from edgeblend.calibration.data.frames import Frames
from edgeblend.calibration.sampling.sample import DEFAULT_COUNT, FEW, CalibrationSet, sample_frames
from edgeblend.converters.opened import OpenGraph, open_graphs
from edgeblend.converters.quantize.feeds import BasisFeed, DetectorFeed
from edgeblend.converters.quantize.measure import described, measure_agreement
from edgeblend.converters.quantize.probe import Probe
from edgeblend.converters.quantize.request import PARTS, check_request, check_sampling
from edgeblend.converters.quantize.search import Search, open_validation
from edgeblend.converters.quantize.toolkits import FloatModel, Toolkit
from edgeblend.errors import AccuracyError, InputError
from edgeblend.manifest import (
    MANIFEST_NAME,
    CalibrationSpec,
    GraphSpec,
    Manifest,
    Part,
    QuantizationSpec,
    TensorQuantization,
    encode_manifest,
)
from edgeblend.processes.third_party_warnings import warnings_are_no_errors
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.base import EngineOptions
from edgeblend.runtime.backends.registry import load_backend


@warnings_are_no_errors()
def quantize(
    bundle: str | Path | Bundle,
    out: str | Path,
    *,
    calibration: Frames | CalibrationSet,
    recipe: str | Path | Recipe = "int8",
    count: int = DEFAULT_COUNT,
    seed: int = 0,
    every: int | None = None,
    max_drop: float | None = None,
    images: str | Path | None = None,
    annotations: str | Path | None = None,
    overwrite: bool = False,
    progress: Say | None = None,
    report: Say | None = None,
) -> Bundle:
    """Quantize a float bundle to INT8.

    Args:
        bundle: in float32, as :func:`edgeblend.convert` makes it.
        out: folder, or ``.zip`` file, to make.
        calibration: where frames come from that are like those to come: a folder, a glob, a COCO file, a
            video, or an iterable of (H, W, 3) uint8 BGR; or a set that was sampled before.
        recipe: a name (``int8``, ``int8-accurate``), a JSON file, or a recipe.
        count: how many frames to choose from the source.
        seed: decides which; the same seed and frames make the same bundle.
        every: take only every n-th frame of the source.
        max_drop: search for the layers that have to stay in float for the quantized bundle to lose no more
            than this: points of box and mask AP on ``annotations``, or without those points of agreement with
            the float bundle (0 to 100, as ``edgeblend.compare`` measures it).
        images: pictures to measure the drop on; default: those of ``annotations``, else the calibration
            frames.
        annotations: COCO file of these pictures.
        overwrite: replace a bundle that is already at ``out``.
        progress: called with a few words before each step; what it raises ends the work.
        report: called with each note on what the drop is measured on: which pictures are used, and what of
            their annotations is not.

    Returns:
        The bundle, read back from ``out``.

    Raises:
        InputError: the frames, the recipe, the pictures or the bundle cannot be used.
        AccuracyError: no choice of layers keeps the drop within ``max_drop``.
        BundleError, OutputError, EngineError, ConversionError: see their messages.

    Example:
        >>> int8 = edgeblend.quantize("bundle", "quantized", calibration="images", count=4)
        >>> int8.graph("detector").precision
        'int8'
        >>> int8.manifest.quantization.calibration.frames
        4
    """
    say, note = callback("progress", progress), callback("report", report)
    check_sampling(calibration, count=(count, DEFAULT_COUNT), seed=(seed, 0), every=(every, None))
    out = check_path("out", out)
    source, recipe, toolkit, models = check_request(
        bundle,
        out,
        recipe=recipe,
        max_drop=max_drop,
        images=images,
        annotations=annotations,
        overwrite=overwrite,
    )
    with ExitStack() as stack:
        reference = open_graphs(source, stack)  # one that does not run here is refused before the long work
        say("choosing calibration frames")
        frames = _calibration_set(calibration, count=count, seed=seed, every=every)
        if frames is not calibration:
            stack.enter_context(frames)
        job = _Job(source, reference, models, recipe, toolkit, frames, say)
        search = None
        if max_drop is not None:
            say("measuring the float bundle")
            validation = open_validation(
                source,
                reference,
                frames,
                images=images,
                annotations=annotations,
                report=note,
                opened=stack,
            )
            search = Search(validation, max_drop, progress=say)
        with stage_bundle(out, overwrite=overwrite) as folder:
            manifest = _write_parts(job, folder, search)
            (folder / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return Bundle.load(out)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is quantized, how, and on what."""

    source: Bundle
    reference: Mapping[Part, OpenGraph]
    models: Mapping[Part, FloatModel]
    recipe: Recipe
    toolkit: Toolkit
    frames: CalibrationSet
    progress: Say


def _calibration_set(
    calibration: Frames | CalibrationSet, *, count: int, seed: int, every: int | None
) -> CalibrationSet:
    frames = (
        calibration
        if isinstance(calibration, CalibrationSet)
        else sample_frames(calibration, count=count, seed=seed, every=every)
    )
    if len(frames) < 2:
        if frames is not calibration:
            frames.close()
        alike = f" ({frames.near_duplicates} others look like it)" if frames.near_duplicates else ""
        raise InputError(
            f"{frames.description}: one picture{alike} cannot show what ranges others need; "
            f"hand in {FEW} or more that are like those to come"
        )
    return frames


def _write_parts(job: _Job, folder: Path, search: Search | None) -> Manifest:
    """Write the graphs of both parts into ``folder`` and return the finished manifest."""
    manifest = job.source.manifest
    backend = load_backend(manifest.target)
    kept: dict[Part, tuple[str, ...]] = {}
    quantized: dict[Part, int] = {}
    with ExitStack() as stack:
        made: dict[Part, OpenGraph] = {}
        for part in PARTS:
            model, precision = job.models[part], getattr(job.recipe, part)
            if precision == "int8":
                job.progress(f"quantizing the {part} graph")
                model = _quantize_part(job, part, made, search)
                in_int8 = job.toolkit.layers_in_int8(model)
                if not in_int8:
                    raise AccuracyError(
                        f"no layer of the {part} graph can be in INT8 within what may be lost; nothing was "
                        f"written. Allow more (max_drop), or leave the graph in float ({part}: fp32)"
                    )
                kept[part] = tuple(name for name in job.toolkit.layer_names(model) if name not in in_int8)
                quantized[part] = len(in_int8)
            source = manifest.graphs[part]
            written = job.toolkit.save_model(model, folder, part, source, half=precision == "fp16")
            spec = written.spec(source.format, precision)
            made[part] = OpenGraph(spec, backend.open_session(spec, written.files, EngineOptions()))
            stack.callback(made[part].session.close)
        if manifest.attention.file is not None:
            shutil.copyfile(job.source.file(manifest.attention.file), folder / manifest.attention.file.name)
        job.progress("comparing with the float bundle")
        quantization = QuantizationSpec(
            recipe=job.recipe,
            calibration=_calibration_spec(job.frames),
            float_layers=kept,
            quantized_layers=quantized,
            measured=measure_agreement(job.source, job.reference, made, job.frames),
            search=search.finish(made) if search else None,
        )
    return msgspec.structs.replace(
        described(job.source, made),
        tools={**manifest.tools, **job.toolkit.tool_versions()},
        quantization=quantization,
    )


def _quantize_part(
    job: _Job, part: Part, made: Mapping[Part, OpenGraph], search: Search | None
) -> FloatModel:
    manifest, model = job.source.manifest, job.models[part]
    items = (
        DetectorFeed(job.frames, manifest)
        if part == "detector"
        else BasisFeed(job.frames, manifest, made["detector"])
    )
    kept = set(job.toolkit.float_layers(model, manifest.graphs[part], job.recipe))
    limit = job.recipe.float_below_db.get(part)
    if limit is not None:
        probe = Probe(part, job.toolkit, model, job.reference)
        measured = probe.measure(items, job.recipe, progress=job.progress)
        kept |= {layer.layer for layer in measured if not layer.sqnr_db >= limit}
    if kept.issuperset(job.toolkit.layer_names(model)):
        raise InputError(
            f"recipe {job.recipe.name!r} keeps all layers of the {part} graph in float: nothing is left to "
            f"quantize; let it keep fewer, or leave the graph in float ({part}: fp32)"
        )
    arriving = _arriving(manifest.graphs[part], made)
    if search is None:
        return job.toolkit.quantize_model(model, items, job.recipe, float_layers=kept, arriving=arriving)
    others = {**job.reference, **made}
    return search.quantize(
        job.toolkit, part, model, items, job.recipe, float_layers=kept, arriving=arriving, others=others
    )


def _arriving(graph: GraphSpec, made: Mapping[Part, OpenGraph]) -> dict[str, TensorQuantization]:
    """Return how the detector that was made stores what the basis graph takes, by name, where as integers."""
    if "detector" not in made:
        return {}
    stored = {
        spec.level: spec.quantization for spec in made["detector"].spec.outputs if spec.role == "pyramid"
    }
    arriving = {spec.name: stored.get(spec.level) for spec in graph.inputs}
    return {name: quantization for name, quantization in arriving.items() if quantization is not None}


def _calibration_spec(frames: CalibrationSet) -> CalibrationSpec:
    return CalibrationSpec(
        source=frames.description.encode("utf-8", "backslashreplace").decode(),  # Linux allows any file name
        frames=len(frames),
        seen=frames.seen,
        unreadable=frames.unreadable_count,
        near_duplicates=frames.near_duplicates,
        seed=frames.seed,
        sha256=frames.digest,
    )
