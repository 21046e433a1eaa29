"""Graphs that run, with what the manifest says of them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from edgeblend.bundle import Bundle
from edgeblend.manifest import GraphSpec, Part
from edgeblend.runtime.backends.base import Session
from edgeblend.runtime.sessions import open_sessions


@dataclass(frozen=True, slots=True)
class OpenGraph:
    """A graph that runs."""

    spec: GraphSpec
    """Says how the session's tensors are stored; its files may have gone."""
    session: Session


def open_graphs(bundle: Bundle, stack: ExitStack) -> dict[Part, OpenGraph]:
    """Open every graph of a bundle on its engine, until the stack is left."""
    sessions = open_sessions(bundle)
    for session in sessions.values():
        stack.callback(session.close)
    return {part: OpenGraph(bundle.graph(part), session) for part, session in sessions.items()}
