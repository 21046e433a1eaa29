"""Engines of other packages, by what they register; none of them is imported here."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

ENTRY_POINT_GROUP = "edgeblend.backends"


def engine_packages() -> dict[str, EntryPoint]:
    """Return the engines that installed packages offer, by name."""
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
