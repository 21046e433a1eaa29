"""Graphs that are opened to be verified are closed, also where not all of them open."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("torch")

from bundle_factory import write_tiny_bundle

from edgeblend.bundle import Bundle
from edgeblend.converters import opened as module
from edgeblend.errors import EngineError


class Engine:
    """Opens sessions that it counts, but not the one of this number."""

    def __init__(self, fails_at: int) -> None:
        self.fails_at, self.opened, self.closed = fails_at, 0, 0

    def open_session(self, graph, files, options):
        self.opened += 1
        if self.opened == self.fails_at:
            raise EngineError("cannot be opened")
        return self

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(("fails_at", "closed"), [(1, 0), (2, 1), (3, 2)])
def test_what_was_opened_is_closed(fails_at, closed, tmp_path: Path, monkeypatch) -> None:
    bundle, engine = Bundle.load(write_tiny_bundle(tmp_path / "tiny")), Engine(fails_at)
    monkeypatch.setattr(module, "load_backend", lambda name: engine)
    with pytest.raises(EngineError, match="cannot be opened|two graphs"), ExitStack() as opened:
        graphs = [
            module.open_written("openvino", graph, bundle.folder, opened)
            for graph in bundle.manifest.graphs.values()
        ]
        assert engine.closed == 0
        raise EngineError(f"two graphs: {len(graphs)}")
    assert engine.closed == closed
