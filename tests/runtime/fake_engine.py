"""An engine that counts what it opens and closes, and fails where it is told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgeblend.errors import EngineError
from edgeblend.manifest import GraphSpec, Manifest
from edgeblend.runtime.backends.base import Array, EngineInfo, EngineOptions, SessionInfo, TensorInfo

Tensors = dict[str, TensorInfo]


@dataclass
class FakeEngine:
    """Opens every graph as it is described here; ``open`` are the sessions that nobody closed."""

    described: Mapping[str, tuple[Tensors, Tensors]]
    """Inputs and outputs by the name of a graph's first file."""
    fails_at: int = 99
    """Which session, forks included, cannot be opened, from 1."""
    close_fails: bool = False
    open: list[FakeSession] = field(default_factory=list)
    count: int = 0

    def open_session(self, graph: GraphSpec, files: Sequence[Path], options: EngineOptions) -> FakeSession:
        return self.opened(*self.described[files[0].name])

    def opened(self, inputs: Tensors, outputs: Tensors) -> FakeSession:
        self.count += 1
        if self.count == self.fails_at:
            raise EngineError(f"session {self.count} cannot be opened")
        session = FakeSession(self, inputs, outputs)
        self.open.append(session)
        return session

    def engine_info(self) -> EngineInfo:
        return EngineInfo("1.0", ())


class FakeSession:
    """A graph that does not run."""

    info = SessionInfo("fake 1.0", "CPU", "CPU", "f32", 1)

    def __init__(self, engine: FakeEngine, inputs: Tensors, outputs: Tensors) -> None:
        self.inputs, self.outputs, self._engine = inputs, outputs, engine

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        raise EngineError("this engine cannot run")

    def fork(self) -> FakeSession:
        return self._engine.opened(self.inputs, self.outputs)

    def close(self) -> None:
        self._engine.open.remove(self)
        if self._engine.close_fails:
            raise RuntimeError("cannot be closed")


def described(manifest: Manifest, channels: int = 8) -> dict[str, tuple[Tensors, Tensors]]:
    """Return what an engine would say of a manifest's graphs, all sides open but the channels."""
    blend = manifest.blend
    known = {
        "image": 3,
        "cls_logits": manifest.decode.num_classes,
        "box_reg": 4,
        "centerness": 1,
        "attention": blend.num_bases * blend.attention_size**2,
        "bases": blend.num_bases,
    }
    found = {}
    for graph in manifest.graphs.values():
        ends: list[Tensors] = [{}, {}]
        for end, specs in zip(ends, (graph.inputs, graph.outputs), strict=True):
            for spec in specs:
                count = known.get(spec.role, channels)
                shape = (1, None, None, count) if spec.layout == "NHWC" else (1, count, None, None)
                end[spec.name] = TensorInfo(shape, spec.dtype)
        found[graph.files[0].name] = (ends[0], ends[1])
    return found


def changed(
    described: dict[str, tuple[Tensors, Tensors]], file: str, end: int, name: str, **changes: object
) -> dict[str, tuple[Tensors, Tensors]]:
    """Return the same but for one tensor."""
    ends = [dict(tensors) for tensors in described[file]]
    ends[end][name] = replace(ends[end][name], **changes)
    return {**described, file: (ends[0], ends[1])}
