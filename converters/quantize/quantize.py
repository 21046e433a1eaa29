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
from edgeblend.calibration.sampling.sample import DEFAULT_COUNT, CalibrationSet
from edgeblend.converters.opened import OpenGraph, OpenNetwork, open_network, open_written
from edgeblend.converters.quantize.feeds import feed_of
from edgeblend.converters.quantize.measure import measure_agreement
from edgeblend.converters.quantize.part import QuantizedPart
from edgeblend.converters.quantize.request import PARTS, check_request, check_sampling, opened_frames
from edgeblend.converters.quantize.search import Search, nothing_in_int8
from edgeblend.converters.quantize.toolkits import FloatModel, Toolkit
from edgeblend.converters.quantize.validation import open_validation
from edgeblend.errors import InputError
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
        network = open_network(
            source, stack
        )  # a bundle that does not run here is refused before the long work
        say("choosing calibration frames")
        frames = stack.enter_context(opened_frames(calibration, count=count, seed=seed, every=every))
        search = None
        if max_drop is not None:
            say("measuring the float bundle")
            validation = open_validation(
                network, frames, images=images, annotations=annotations, report=note, opened=stack
            )
            search = Search(validation, max_drop, progress=say)
        job = _Job(source, network, models, recipe, toolkit, frames, search, say)
        with stage_bundle(out, overwrite=overwrite) as folder:
            (folder / MANIFEST_NAME).write_bytes(encode_manifest(_write_bundle(job, folder)))
    return Bundle.load(out)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is quantized, how, and on what."""

    source: Bundle
    network: OpenNetwork
    """The source's graphs, open."""
    models: Mapping[Part, FloatModel]
    recipe: Recipe
    toolkit: Toolkit
    frames: CalibrationSet
    search: Search | None
    """None where nothing limits the drop."""
    progress: Say


@dataclass(frozen=True, slots=True)
class _Written:
    """A graph of the new bundle."""

    graph: OpenGraph
    in_float: tuple[str, ...]
    """The layers that it computes in float."""
    in_int8: int
    """Number of layers that it computes in INT8; 0 for a part that stays in float."""


def _write_bundle(job: _Job, folder: Path) -> Manifest:
    """Write the files of a quantized bundle into a folder, and return its manifest."""
    source = job.source.manifest
    with ExitStack() as stack:
        written: dict[Part, _Written] = {}
        for part in PARTS:
            made = {part: one.graph for part, one in written.items()}
            written[part] = _write_part(job, part, made, folder, stack)
        made = {part: one.graph for part, one in written.items()}
        if source.attention.file is not None:
            shutil.copyfile(job.source.file(source.attention.file), folder / source.attention.file.name)
        job.progress("comparing with the float bundle")
        quantized = [part for part in PARTS if written[part].in_int8]
        quantization = QuantizationSpec(
            recipe=job.recipe,
            calibration=_calibration_spec(job.frames),
            float_layers={part: written[part].in_float for part in quantized},
            quantized_layers={part: written[part].in_int8 for part in quantized},
            measured=measure_agreement(job.network, job.network.with_graphs(made), job.frames),
            search=job.search.finish(made) if job.search else None,
        )
    return msgspec.structs.replace(
        source,
        graphs={part: graph.spec for part, graph in made.items()},
        tools={**source.tools, **job.toolkit.tool_versions()},
        quantization=quantization,
    )


def _write_part(
    job: _Job, part: Part, made: Mapping[Part, OpenGraph], folder: Path, stack: ExitStack
) -> _Written:
    """Write one graph, in INT8 or as the recipe stores it, and open it until the stack is left."""
    model, precision = job.models[part], getattr(job.recipe, part)
    in_float: tuple[str, ...] = ()
    in_int8 = 0
    if precision == "int8":
        job.progress(f"quantizing the {part} graph")
        work = _quantized_part(job, part, made)
        model = _quantize_part(job, work, made)
        in_float = work.layers_in_float(model)
        in_int8 = len(job.toolkit.layers_in_int8(model))
        if not in_int8:
            raise nothing_in_int8(part)
    graph = job.source.graph(part)
    files = job.toolkit.save_model(model, folder, part, graph, half=precision == "fp16")
    opened = open_written(job.source.manifest.target, files.spec(graph.format, precision), folder, stack)
    return _Written(opened, in_float, in_int8)


def _quantized_part(job: _Job, part: Part, made: Mapping[Part, OpenGraph]) -> QuantizedPart:
    return QuantizedPart(
        part=part,
        target=job.source.manifest.target,
        toolkit=job.toolkit,
        model=job.models[part],
        reference=job.network.open_graphs[part],
        items=feed_of(part, job.frames, job.network.with_graphs(made)),
        recipe=job.recipe,
        arriving=_arriving(job.source.graph(part), made),
        progress=job.progress,
    )


def _quantize_part(job: _Job, part: QuantizedPart, made: Mapping[Part, OpenGraph]) -> FloatModel:
    kept = part.kept_by_recipe()
    if kept.issuperset(job.toolkit.layer_names(part.model)):
        raise InputError(
            f"recipe {job.recipe.name!r} keeps all layers of the {part.part} graph in float: nothing is left "
            f"to quantize; let it keep fewer, or leave the graph in float ({part.part}: fp32)"
        )
    return part.quantize(kept) if job.search is None else job.search.quantize(part, kept, made)


def _arriving(graph: GraphSpec, made: Mapping[Part, OpenGraph]) -> dict[str, TensorQuantization]:
    """Return, by name, how the new detector stores those inputs of the basis graph that come as integers."""
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
