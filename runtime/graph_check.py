"""Whether opened graphs are what the manifest says of them.

A manifest with right hashes can still describe other graphs. The runtime would then fail at the first frame,
or read numbers as what they are not. Sides that a graph leaves open fit everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgeblend.bundle import Bundle
from edgeblend.errors import BundleError
from edgeblend.manifest import GraphSpec, Manifest, Part, TensorSpec
from edgeblend.runtime.attention import attention_shape
from edgeblend.runtime.backends.base import CompiledSession, TensorInfo

_PADDED_TO = 32
"""Graphs pad their canvas to at most a multiple of this before the first level."""

_Found = dict[tuple[Part, str, str | None], tuple[TensorSpec, TensorInfo]]
"""What the manifest says and what the engine says, by graph, role and level; inputs have ``to`` before it."""


def check_graphs(bundle: Bundle, sessions: Mapping[Part, CompiledSession]) -> None:
    """Hold what engines report of a bundle's graphs against its manifest.

    Raises:
        BundleError: a tensor is missing, or has another type or shape than the manifest says.
    """
    manifest = bundle.manifest
    problems = [
        problem for part, session in sessions.items() for problem in _tensors(part, manifest, session)
    ]
    if not problems:  # shapes mean nothing before
        problems = list(_sizes(manifest, sessions))
    if not problems and manifest.attention.file is not None:
        problems = list(_attention(bundle, sessions["detector"]))
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise BundleError(
            f"{bundle.path}: the graphs are not what the manifest says: {'; '.join(problems[:3])}{more}; "
            "convert the checkpoint again"
        )


def _tensors(part: Part, manifest: Manifest, session: CompiledSession) -> Iterator[str]:
    """Yield what is wrong with the names, types and ranks of a graph's tensors."""
    graph = manifest.graphs[part]
    for kind, specs, found in (
        ("input", graph.inputs, session.inputs),
        ("output", graph.outputs, session.outputs),
    ):
        for spec in specs:
            what = f"the {part} graph's {kind} {spec.name!r}"
            if spec.name not in found:
                yield f"{what} is not there, but {', '.join(map(repr, found)) or 'none'}"
                continue
            info = found[spec.name]
            if info.dtype != spec.dtype:
                yield f"{what} is {info.dtype}, not {spec.dtype}"
            if len(info.shape) != 4 or info.shape[0] not in (1, None):
                yield f"{what} has the shape {_text(info.shape)}, not one picture in four dimensions"
    for name in set(session.inputs) - {spec.name for spec in graph.inputs}:
        yield f"the {part} graph takes {name!r}, too"


def _sizes(manifest: Manifest, sessions: Mapping[Part, CompiledSession]) -> Iterator[str]:
    """Yield what is wrong with channels and sides."""
    features: dict[str | None, tuple[int | None, ...]] = {}
    for part, graph in manifest.graphs.items():
        for spec, info, is_input in _described(graph, sessions[part]):
            what = f"the {part} graph's {'input' if is_input else 'output'} {spec.name!r}"
            channels, *sides = found = _channels_first(spec, info)
            wanted = _channels(manifest, spec)
            if wanted is not None and channels not in (wanted, None):
                yield f"{what} has {channels} channels in {spec.layout}, not {wanted}"
            if not all(low <= side <= high for side, (low, high) in _bounded(manifest, spec, sides)):
                yield f"{what} is {_text(sides)} large, which the manifest's canvas and strides do not make"
            if spec.role == "image" and manifest.input.dynamic and None not in (*sides,) and 0 not in sides:
                yield f"{what} is {_text(sides)} large, but the manifest's canvas follows the frame"
            if spec.role == "pyramid":
                other = features.setdefault(spec.level, found)
                if not _alike(other, found):
                    yield f"{what} is {_text(found)}, but the detector gives {_text(other)}"


def _described(graph: GraphSpec, session: CompiledSession) -> Iterator[tuple[TensorSpec, TensorInfo, bool]]:
    for spec in graph.inputs:
        yield spec, session.inputs[spec.name], True
    for spec in graph.outputs:
        yield spec, session.outputs[spec.name], False


def _channels(manifest: Manifest, spec: TensorSpec) -> int | None:
    """Return how many channels the manifest gives a tensor; None where it does not say."""
    blend = manifest.blend
    return {
        "image": 3,
        "cls_logits": manifest.decode.num_classes,
        "box_reg": 4,
        "centerness": 1,
        "attention": blend.num_bases * blend.attention_size**2,
        "bases": blend.num_bases,
    }.get(spec.role)


def _bounded(
    manifest: Manifest, spec: TensorSpec, sides: list[int | None]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield each side of a tensor that is known with the least and the most that it may be."""
    strides = {level.name: level.stride for level in manifest.decode.levels}
    stride = {"image": 1, "bases": manifest.blend.basis_stride}.get(spec.role, strides.get(spec.level or ""))
    for side, canvas in zip(sides, (manifest.input.height, manifest.input.width), strict=True):
        if side is not None and canvas is not None and stride is not None:
            padded = canvas if spec.role == "image" else -(-canvas // _PADDED_TO) * _PADDED_TO
            yield side, (-(-canvas // stride), -(-padded // stride))


def _attention(bundle: Bundle, detector: CompiledSession) -> Iterator[str]:
    file, blend = bundle.manifest.attention.file, bundle.manifest.blend
    assert file is not None
    rows, columns = attention_shape(bundle.file(file))
    if columns != blend.num_bases * blend.attention_size**2:
        yield f"{file.name} gives {columns} values, not {blend.num_bases} x {blend.attention_size}^2"
    for spec in bundle.manifest.graphs["detector"].outputs:
        if spec.role == "attention_features":
            channels = _channels_first(spec, detector.outputs[spec.name])[0]
            if channels is not None and rows != 9 * channels:
                yield f"{file.name} takes {rows // 9} channels, but {spec.name!r} has {channels}"


def _channels_first(spec: TensorSpec, info: TensorInfo) -> tuple[int | None, ...]:
    _, one, two, three = info.shape
    return (three, one, two) if spec.layout == "NHWC" else (one, two, three)


def _alike(one: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
    return all(a == b or None in (a, b) for a, b in zip(one, other, strict=True))


def _text(shape: tuple[int | None, ...] | list[int | None]) -> str:
    return " x ".join("?" if side is None else str(side) for side in shape) or "a scalar"
