"""A detector that runs, and then says what it was told to."""

from __future__ import annotations

from collections.abc import Mapping

from synthetic_heads import Synthetic

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.manifest import GraphSpec, Part
from edgeblend.runtime.backends.base import Array, Session, SessionInfo
from edgeblend.runtime.tensors import stored


class Planted:
    """A session of a detector graph whose heads are replaced by made-up ones after each run."""

    def __init__(self, session: Session, graph: GraphSpec, made_up: Synthetic) -> None:
        self._session, self._graph, self._made_up = session, graph, made_up
        by_level = dict(zip([level.name for level in made_up.decode.levels], made_up.levels, strict=True))
        self._planted = {
            spec.name: stored(spec, getattr(by_level[spec.level], spec.role)[None])
            for spec in graph.outputs
            if spec.level is not None and spec.role in ("cls_logits", "box_reg", "centerness")
        }

    @property
    def info(self) -> SessionInfo:
        """What runs."""
        return self._session.info

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the graph, and replace the heads."""
        return {**self._session.run(inputs), **self._planted}

    def fork(self) -> Session:
        """Return another one that says the same."""
        return Planted(self._session.fork(), self._graph, self._made_up)

    def close(self) -> None:
        """Close the session."""
        self._session.close()


def planted_segmenter(
    bundle: Bundle, sessions: Mapping[Part, Session], made_up: Synthetic, *, streams: int = 1
) -> edgeblend.Segmenter:
    """Return a segmenter over a bundle's sessions that finds what was made up."""
    detector = Planted(sessions["detector"], bundle.graph("detector"), made_up)
    return edgeblend.Segmenter.from_sessions(bundle, {**sessions, "detector": detector}, streams=streams)
