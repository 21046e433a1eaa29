"""A checkpoint in, a verified bundle out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from edgeblend.arguments.callbacks import Say, callback
from edgeblend.arguments.checks import check_path, shown
from edgeblend.bundle import Bundle, check_output, stage_bundle
from edgeblend.calibration.data.frames import Frames, FrameSource
from edgeblend.calibration.sampling.sample import DEFAULT_COUNT, CalibrationSet
from edgeblend.converters.export import WrittenNetwork, write_network
from edgeblend.converters.model_classes import ClassNames, read_class_names
from edgeblend.converters.opened import open_written
from edgeblend.converters.plan import (
    ConversionPlan,
    ConvertOptions,
    Precision,
    check_options,
    plan_conversion,
)
from edgeblend.converters.quantize.quantize import quantize
from edgeblend.converters.quantize.request import PARTS, check_recipe, check_sampling, opened_frames
from edgeblend.converters.quantize.toolkits import load_toolkit
from edgeblend.converters.reference import open_in_torch
from edgeblend.converters.split import AttentionMode, SplitGraph, split_network
from edgeblend.converters.targets import Target, check_target, load_target
from edgeblend.converters.verification_images import check_images, images_to_verify_on, read_images
from edgeblend.converters.verify import TOLERANCES, verify
from edgeblend.errors import InputError
from edgeblend.files.temporary import temporary_folder
from edgeblend.manifest import MANIFEST_NAME, VerificationSpec, encode_manifest
from edgeblend.model.blendmask import BlendMask, build_network
from edgeblend.model.checkpoints.read import checkpoint_digest, load_weights, read_checkpoint
from edgeblend.model.config import ModelConfig, load_config
from edgeblend.model.fold import fold_batch_norms
from edgeblend.processes.third_party_warnings import warnings_are_no_errors
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.registry import load_backend


@runtime_checkable
class Trained(Protocol):
    """What training returns; see :class:`edgeblend.training.run.TrainingResult`."""

    @property
    def model(self) -> Path:
        """The checkpoint."""

    @property
    def config(self) -> Path:
        """Its config."""

    @property
    def class_names(self) -> Path:
        """A file of its classes."""


@warnings_are_no_errors()
def convert(
    checkpoint: str | Path | Trained,
    out: str | Path,
    *,
    config: str | Path | None = None,
    target: str = "openvino",
    precision: Precision = "fp32",
    input_size: tuple[int, int] | None = None,
    dynamic: bool = False,
    attention: AttentionMode = "sparse",
    class_names: ClassNames | None = None,
    category_ids: Sequence[int] | None = None,
    verify_on: Frames | None = None,
    calibration: Frames | CalibrationSet | None = None,
    recipe: str | Path | Recipe | None = None,
    count: int = DEFAULT_COUNT,
    overwrite: bool = False,
    progress: Say | None = None,
) -> Bundle:
    """Convert a checkpoint into a bundle, verified against torch; with calibration frames, quantize it, too.

    Args:
        checkpoint: a ``.pth`` or ``.safetensors`` file, read as weights only and never executed; or what
            :func:`edgeblend.train` returned, which has its config and classes with it.
        out: folder, or ``.zip`` file, to make.
        config: a published name such as ``R_50_3x``, or a YAML file; needed with a checkpoint's file.
        target: the engine that will run it: ``openvino``, ``onnxruntime`` or ``tflite``, or what another
            package has registered in the group ``edgeblend.targets``.
        precision: how weights are stored: ``fp32``, ``fp16``, or ``int8-dynamic`` where the target has it,
            whose activations are rounded while it runs.
        input_size: (height, width) in pixels of the canvas that frames are fitted into; None takes
            the config's test size, landscape. Not together with ``dynamic``.
        dynamic: let the canvas follow each frame, by the config's own resize rule.
        attention: ``sparse`` computes the attention where something was detected, with the same
            numbers; ``dense`` computes it everywhere, inside the graph.
        class_names: names in the order of the model's classes, or the path of a file with them: text with one
            name per line, or with ``ID<TAB>NAME``, or a COCO data set. Needed unless the model has 80
            classes, which are assumed to be COCO's, or is for persons.
        category_ids: the id of each class in its data set, which results are written with; default: those of
            the file, or COCO's own for its 80 names, else 1 to the number of classes.
        verify_on: images to compare the exported graphs with torch on: a path, a folder, a glob, or arrays
            (H, W, 3) uint8 BGR; None takes a photograph that comes with edgeblend.
        calibration: representative frames, as for :func:`edgeblend.quantize`. The bundle at ``out`` is then
            the INT8 one. The float bundle is made and verified in a temporary folder, and removed.
        recipe: how to quantize, as for :func:`edgeblend.quantize`; None takes ``int8``. Only with
            ``calibration``.
        count: how many frames to choose for calibration. Only with ``calibration``.
        overwrite: replace a bundle that is already at ``out``.
        progress: called with a few words before each step; what it raises ends the conversion.

    Returns:
        The bundle, read back from ``out``. Its manifest's ``notes`` say what was assumed.

    Raises:
        ConfigError, CheckpointError, InputError, OutputError, EngineError: see their messages.
        ConversionError: the exported graphs differ from torch; nothing is left at ``out``.

    Example:
        >>> names = ["cup", "spoon", "table"]
        >>> bundle = edgeblend.convert(
        ...     "model.pth", "converted", config="config.yaml", class_names=names
        ... )
        >>> bundle.manifest.target, bundle.manifest.things
        ('openvino', ('cup', 'spoon', 'table'))
        >>> bundle.manifest.verification.matched == bundle.manifest.verification.detections
        True
    """
    say = callback("progress", progress)
    source, config, class_names = _what_to_convert(checkpoint, config, class_names)
    options = ConvertOptions(
        target=target,
        precision=precision,
        input_size=input_size,
        dynamic=dynamic,
        attention=attention,
        classes=read_class_names(class_names, category_ids),
        overwrite=overwrite,
    )
    check_options(options)
    out = check_path("out", out)
    check_output(out, overwrite=overwrite)
    _check_calibration(calibration, recipe, count, precision)
    check_images(verify_on)
    conversion = _plan(source, config, options)
    if calibration is None:
        return conversion.run(out, _own_images(verify_on, say), say)
    recipe = check_recipe("int8" if recipe is None else recipe, target)
    load_toolkit(recipe, target, dict.fromkeys(PARTS, conversion.exporter.FORMAT))
    images = _own_images(verify_on, say)
    say("choosing calibration frames")
    with opened_frames(calibration, count=count) as frames, temporary_folder(str(out)) as work:
        made = conversion.run(Path(work) / "float", images, say)
        return quantize(made, out, calibration=frames, recipe=recipe, overwrite=overwrite, progress=say)


def _what_to_convert(
    checkpoint: str | Path | Trained, config: str | Path | None, class_names: ClassNames | None
) -> tuple[Path, str | Path, ClassNames | None]:
    """Return the checkpoint's file, its config and class names; what training returned has its own."""
    if isinstance(checkpoint, Trained):
        names = checkpoint.class_names if class_names is None else class_names
        return checkpoint.model, checkpoint.config if config is None else config, names
    if not isinstance(checkpoint, str | Path):
        raise InputError(f"checkpoint: expected a file or what training returned, got {shown(checkpoint)}")
    if config is None:
        raise InputError(f"config: {checkpoint} needs one; give a published name or a YAML file")
    check_path("config", config)
    return Path(checkpoint), config, class_names


def _check_calibration(
    calibration: Frames | CalibrationSet | None, recipe: object, count: int, precision: Precision
) -> None:
    """Refuse options of a quantization that would have no effect, or cannot be met, with an InputError."""
    if calibration is None:
        for name, given in (("recipe", recipe is not None), ("count", count != DEFAULT_COUNT)):
            if given:
                raise InputError(f"{name}: has no effect without calibration; give calibration frames, too")
    else:
        if precision != "fp32":
            raise InputError(
                f"precision: weights in {precision} cannot be quantized; leave it out, or calibration"
            )
        check_sampling(calibration, count=(count, DEFAULT_COUNT))


def _own_images(verify_on: Frames | None, say: Say) -> FrameSource | None:
    if verify_on is None:
        return None
    say("reading the images to verify on")
    return read_images(verify_on)


def _plan(checkpoint: Path, config: str | Path, options: ConvertOptions) -> _Conversion:
    """Refuse what can be refused before the weights are read."""
    model_config = load_config(config)
    plan = plan_conversion(model_config, str(config), options)
    exporter = load_target(options.target)
    check_target(exporter, options.target, model_config, precision=options.precision, dynamic=options.dynamic)
    load_backend(options.target)  # verifying needs the engine
    return _Conversion(checkpoint, model_config, plan, exporter)


@dataclass(frozen=True, slots=True)
class _Conversion:
    """A conversion that nothing is known to stand against."""

    checkpoint: Path
    config: ModelConfig
    plan: ConversionPlan
    exporter: Target

    def run(self, out: Path, images: FrameSource | None, say: Say) -> Bundle:
        """Read the checkpoint, and make and verify the bundle."""
        say("reading the checkpoint")
        network, notes = self._read_network()
        graphs = split_network(network, attention=self.plan.options.attention)
        with stage_bundle(out, overwrite=self.plan.options.overwrite) as folder:
            written = write_network(network, graphs, self.plan, folder, self.exporter, say)
            digest = checkpoint_digest(self.checkpoint)
            say("verifying against torch")
            manifest = self.plan.manifest(
                checkpoint=self.checkpoint.name,
                checkpoint_sha256=digest,
                graphs=written.graphs,
                attention=written.attention,
                verification=_verify(graphs, written, self.plan, folder, images),
                tools=self.exporter.tool_versions(),
                notes=notes,
            )
            (folder / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
        return Bundle.load(out)

    def _read_network(self) -> tuple[BlendMask, tuple[str, ...]]:
        """Return the network, its batch norms folded, and notes on how the checkpoint was read."""
        network = build_network(self.config)
        weights = read_checkpoint(self.checkpoint)
        load_weights(network, weights, source=str(self.checkpoint))
        return fold_batch_norms(network), tuple(weights.notes)


def _verify(
    graphs: Sequence[SplitGraph],
    written: WrittenNetwork,
    plan: ConversionPlan,
    folder: Path,
    own: FrameSource | None,
) -> VerificationSpec:
    """Compare the graphs in a folder with torch, on the caller's images or the shipped photograph."""
    canvas, images = images_to_verify_on(plan.input, own)
    reference = {graph.part: open_in_torch(graph) for graph in graphs}
    with ExitStack() as opened:
        exported = {
            part: open_written(plan.options.target, spec, folder, opened)
            for part, spec in written.graphs.items()
        }
        first, second = (
            dataclasses.replace(plan.network(found, written.layer), input=canvas)
            for found in (reference, exported)
        )
        return verify(first, second, images, tolerance=TOLERANCES[plan.options.precision])
