"""A checkpoint in, a verified bundle out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from edgeblend.arguments.callbacks import Say, callback
from edgeblend.arguments.checks import check_path, shown
from edgeblend.bundle import Bundle, check_output, describe_file, stage_bundle
from edgeblend.converters.draft import ConvertOptions, Precision, check_options, draft_manifest
from edgeblend.converters.model_classes import ClassNames, read_class_names
from edgeblend.converters.opened import OpenGraph
from edgeblend.converters.reference import TorchSession, torch_spec
from edgeblend.converters.split import (
    AttentionMode,
    SplitGraph,
    attention_weights,
    example_inputs,
    input_shapes,
    split_network,
)
from edgeblend.converters.targets import Target, check_target, load_target
from edgeblend.converters.verify import TOLERANCES, verify
from edgeblend.errors import InputError
from edgeblend.manifest import (
    MANIFEST_NAME,
    AttentionSpec,
    GraphSpec,
    Manifest,
    Part,
    encode_manifest,
)
from edgeblend.model.blendmask import BlendMask, build_network
from edgeblend.model.checkpoints.read import checkpoint_digest, load_weights, read_checkpoint
from edgeblend.model.config import load_config
from edgeblend.model.fold import fold_batch_norms
from edgeblend.processes.third_party_warnings import warnings_are_no_errors
from edgeblend.runtime.attention import AttentionLayer
from edgeblend.runtime.backends.base import EngineOptions
from edgeblend.runtime.backends.registry import load_backend

ATTENTION_FILE = "attention.safetensors"


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
    overwrite: bool = False,
    progress: Say | None = None,
) -> Bundle:
    """Convert a checkpoint into a bundle, verified against torch.

    Args:
        checkpoint: a ``.pth`` or ``.safetensors`` file, read as weights only and never executed; or what
            :func:`edgeblend.train` returned, which has its config and classes with it.
        out: folder, or ``.zip`` file, to make.
        config: a published name such as ``R_50_3x``, or a YAML file; needed with a checkpoint's file.
        target: the engine that will run it: ``openvino``, ``onnxruntime`` or ``tflite``.
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
    model_config = load_config(config)
    # What can be refused is refused before the weights are read.
    draft = draft_manifest(model_config, str(config), source, options)
    exporter = load_target(target)
    check_target(exporter, target, model_config, precision=precision, dynamic=dynamic)
    load_backend(target)  # verifying needs the engine

    say("reading the checkpoint")
    network = build_network(model_config)
    weights = read_checkpoint(source)
    load_weights(network, weights, source=str(source))
    draft = msgspec.structs.replace(draft, notes=(*draft.notes, *weights.notes))
    network = fold_batch_norms(network)

    with stage_bundle(out, overwrite=overwrite) as folder:
        manifest = _write_parts(network, draft, folder, exporter, options, source, say)
        (folder / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return Bundle.load(out)


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


def _write_parts(
    network: BlendMask,
    draft: Manifest,
    folder: Path,
    target: Target,
    options: ConvertOptions,
    checkpoint: Path,
    say: Say,
) -> Manifest:
    """Export and verify the graphs into ``folder`` and return the finished manifest."""
    graphs = split_network(network, attention=options.attention)
    specs = _export_graphs(graphs, draft, folder, target, options, say)
    layer, attention = _write_attention(network, folder, options.attention)
    manifest = msgspec.structs.replace(
        draft,
        source=msgspec.structs.replace(draft.source, checkpoint_sha256=checkpoint_digest(checkpoint)),
        attention=attention,
        graphs=specs,
        tools={**draft.tools, **target.tool_versions()},
    )
    say("verifying against torch")
    reference: dict[Part, OpenGraph] = {
        graph.part: OpenGraph(torch_spec(graph), TorchSession(graph)) for graph in graphs
    }
    small, pictures = _verification_pictures(manifest)
    with ExitStack() as opened:
        measured = verify(
            reference,
            _open_graphs(manifest, folder, opened),
            small,
            attention=layer,
            pictures=pictures,
            tolerance=TOLERANCES[options.precision],
        )
    return msgspec.structs.replace(manifest, verification=measured)


def _export_graphs(
    graphs: tuple[SplitGraph, SplitGraph],
    draft: Manifest,
    folder: Path,
    target: Target,
    options: ConvertOptions,
    say: Say,
) -> dict[Part, GraphSpec]:
    height, width = draft.input.height, draft.input.width
    canvas = (height, width) if height and width else None
    examples = example_inputs(graphs[0])
    channels = examples[graphs[1].inputs[0].name].shape[1]
    specs: dict[Part, GraphSpec] = {}
    for graph in graphs:
        say(f"exporting the {graph.part} graph")
        written = target.export_graph(
            graph,
            folder,
            example=tuple(examples[spec.name] for spec in graph.inputs),
            shapes=input_shapes(graph, canvas, channels),
            precision=options.precision,
        )
        specs[graph.part] = written.spec(target.FORMAT, options.precision)
    return specs


def _write_attention(
    network: BlendMask, folder: Path, mode: AttentionMode
) -> tuple[AttentionLayer | None, AttentionSpec]:
    if mode == "dense":
        return None, AttentionSpec(mode=mode, file=None)
    weights = attention_weights(network)
    file = folder / ATTENTION_FILE
    file.write_bytes(save(weights))
    return AttentionLayer(**weights), AttentionSpec(mode=mode, file=describe_file(file))


def _open_graphs(manifest: Manifest, folder: Path, opened: ExitStack) -> dict[Part, OpenGraph]:
    backend = load_backend(manifest.target)
    options = EngineOptions(precision="f32")
    graphs: dict[Part, OpenGraph] = {}
    for part, graph in manifest.graphs.items():
        paths = [folder / file.name for file in graph.files]
        graphs[part] = OpenGraph(graph, backend.open_session(graph, paths, options))
        opened.callback(graphs[part].session.close)
    return graphs


def _verification_pictures(manifest: Manifest) -> tuple[Manifest, list[NDArray[np.uint8]]]:
    """Return the manifest to verify with, and the photographs.

    A dynamic bundle sees two small canvases of odd sizes, which would show a size that was traced
    as a constant; a static one sees its canvas with a margin to fill.
    """
    data = files("edgeblend.converters").joinpath("data/coffee.jpg").read_bytes()
    photograph = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    picture = np.asarray(photograph, np.uint8)
    if not manifest.input.dynamic:
        return manifest, [picture]
    small = msgspec.structs.replace(manifest.input, min_size=250, max_size=401)
    portrait = np.ascontiguousarray(picture[:, 90:400])
    return msgspec.structs.replace(manifest, input=small), [picture, portrait]
