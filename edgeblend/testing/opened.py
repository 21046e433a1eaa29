"""Sessions as the contract opens them."""

from __future__ import annotations

from typing import Any

from edgeblend.bundle import Bundle
from edgeblend.runtime.backends.base import Array, Backend, CompiledSession, EngineOptions, Session


def opened(backend: Backend, bundle: Bundle, **options: Any) -> CompiledSession:  # noqa: ANN401 - those of EngineOptions
    """Open a bundle's detector."""
    return backend.open_session(
        bundle.graph("detector"), bundle.graph_files("detector"), EngineOptions(**options)
    )


def copies(session: Session, inputs: dict[str, Array]) -> dict[str, Array]:
    """Run a session, and keep what it gives."""
    return {name: output.copy() for name, output in session.run(inputs).items()}
