"""What other packages register by entry point, by name; none of them is imported here."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

ENTRY_POINT_GROUP = "edgeblend.backends"


def engine_packages() -> dict[str, EntryPoint]:
    """Return the engines that installed packages offer, by name."""
    return registered(ENTRY_POINT_GROUP)


def registered(group: str) -> dict[str, EntryPoint]:
    """Return what installed packages offer in an entry point group, by name."""
    return {entry.name: entry for entry in entry_points(group=group)}
