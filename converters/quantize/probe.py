"""The layers of one graph, quantized one at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeblend.bundle import Bundle, describe_file
from edgeblend.calibration.sqnr import OutputSqnr, SqnrTally, sqnr_db
from edgeblend.converters.quantize.search import Validation
from edgeblend.converters.quantize.toolkits import FloatModel, SizedItems, Toolkit
from edgeblend.manifest import Part
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.base import Array, EngineOptions, Session, SessionInfo
from edgeblend.runtime.backends.registry import load_backend
from edgeblend.runtime.segmenter import outputs_by_role

DEFAULT_FRAMES = 4
"""Whose outputs are compared; they are held in memory, 25 MB each for a published network at 512x736."""


@dataclass(frozen=True, slots=True)
class LayerSensitivity:
    """What quantizing one layer does, all others in float. Bias correction is not part of it."""

    graph: Part
    layer: str
    """Its name in the checkpoint."""
    sqnr_db: float
    """Of all outputs of the graph together, each weighted to the same power; the lower, the more it costs."""
    outputs: tuple[OutputSqnr, ...]
    drop: float | None
    """Points of box or mask AP, whichever is more, on labelled pictures; None without."""


@dataclass(frozen=True, slots=True)
class _Switched:
    """A session with some of its inputs set."""

    session: Session
    switches: Mapping[str, Array]

    @property
    def info(self) -> SessionInfo:
        """What the session says of itself."""
        return self.session.info

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, NDArray[np.float32]]:
        """Run the session."""
        return self.session.run({**inputs, **self.switches})

    def close(self) -> None:
        """Leave the session open, which others use, too."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One graph whose layers are quantized in turn."""

    source: Bundle
    part: Part
    toolkit: Toolkit
    model: FloatModel
    reference: Mapping[Part, Session]
    validation: Validation | None = None

    def measure(
        self,
        items: SizedItems,
        recipe: Recipe,
        *,
        count: int = DEFAULT_FRAMES,
        progress: Callable[[str], None] = lambda step: None,
    ) -> Iterator[LayerSensitivity]:
        """Yield every layer in the order in which they run.

        Args:
            items: what the graph is calibrated on.
            recipe: how layers are quantized; those that it keeps in float are, too.
            count: on how many of the items outputs are compared.
            progress: called with a few words before each layer.
        """
        progress(f"measuring ranges of the {self.part} graph")
        plain = msgspec.structs.replace(recipe, bias_correction="none")
        quantized = self.toolkit.quantize_to_fake(self.model, items, plain)
        picked = np.unique(np.linspace(0, len(items) - 1, min(len(items), count)).round().astype(int))
        wanted = set(picked.tolist())
        inputs = [item for position, item in enumerate(items) if position in wanted]
        expected = [self._outputs(self.reference[self.part], item) for item in inputs]
        names = self.toolkit.layer_names(self.model)
        switches = {name: self.toolkit.switch_name(name) for name in names}
        off = {switch: np.zeros(1, np.float32) for switch in switches.values()}
        with self._opened(self.toolkit.with_switches(self.model, quantized)) as session:
            for number, layer in enumerate(names, 1):
                progress(f"{self.part} layer {number} of {len(names)}: {layer}")
                switched = _Switched(session, {**off, switches[layer]: np.ones(1, np.float32)})
                yield self._compare(layer, switched, inputs, expected)

    def _compare(
        self,
        layer: str,
        session: Session,
        inputs: Sequence[Mapping[str, Array]],
        expected: Sequence[Mapping[tuple[Part, str, str | None], NDArray[np.float32]]],
    ) -> LayerSensitivity:
        tally = SqnrTally()
        for item, wanted in zip(inputs, expected, strict=True):
            tally.add(wanted, self._outputs(session, item))
        outputs = tally.outputs()
        drop = None
        if self.validation is not None:
            sessions = {**self.reference, self.part: session}
            drop, _ = self.validation.drop(self.source.manifest, sessions)
        noise = float(np.mean([10 ** (-output.db / 10) for output in outputs]))
        return LayerSensitivity(self.part, layer, sqnr_db(1.0, noise), outputs, drop)

    def _outputs(
        self, session: Session, item: Mapping[str, Array]
    ) -> dict[tuple[Part, str, str | None], NDArray[np.float32]]:
        graph = self.source.manifest.graphs[self.part]
        found = outputs_by_role(graph, session.run(item))
        return {(self.part, role, level): np.array(value) for (role, level), value in found.items()}

    @contextmanager
    def _opened(self, model: FloatModel) -> Iterator[Session]:
        manifest = self.source.manifest
        with tempfile.TemporaryDirectory(prefix="edgeblend-") as folder:
            files = self.toolkit.save_model(model, Path(folder) / f"{self.part}.xml", half=False)
            graph = msgspec.structs.replace(
                manifest.graphs[self.part], files=tuple(describe_file(file) for file in files)
            )
            session = load_backend(manifest.target).open_session(graph, files, EngineOptions())
            try:
                yield session
            finally:
                session.close()
