"""Files that operating systems and file managers leave in folders and archives, unasked."""

from __future__ import annotations

from collections.abc import Iterable

JUNK = frozenset(
    name.lower()
    for name in (
        # macOS
        ".DS_Store",
        "__MACOSX",
        ".AppleDouble",
        ".LSOverride",
        ".localized",
        ".fseventsd",
        ".Spotlight-V100",
        ".TemporaryItems",
        ".Trashes",
        ".VolumeIcon.icns",
        ".DocumentRevisions-V100",
        ".AppleDB",
        ".AppleDesktop",
        ".apdisk",
        "Network Trash Folder",
        "Temporary Items",
        "Icon\r",
        # Windows
        "Thumbs.db",
        "Thumbs.db:encryptable",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "$RECYCLE.BIN",
        "System Volume Information",
        # Linux desktops and network storage
        ".directory",
        "@eaDir",
        "@Recycle",
        "#recycle",
        "#snapshot",
        "lost+found",
    )
)
"""Names of files and folders, in lower case; everything below such a folder is junk, too."""

_PREFIXES = ("._", ".nfs", ".trash-", ".fuse_hidden")
"""Of names that differ from file to file: AppleDouble's, and what network storage and trash bins make."""

_SUFFIXES = (":zone.identifier",)
"""Of files beside others, in which Windows notes that a file was downloaded; copies to Linux keep them."""


def is_junk(name: str) -> bool:
    """Return whether a file or folder of this name is what systems leave behind; case does not matter."""
    lower = name.lower()
    return lower in JUNK or lower.startswith(_PREFIXES) or lower.endswith(_SUFFIXES)


def is_junk_path(parts: Iterable[str]) -> bool:
    """Return whether a path is junk, or lies below a folder that is."""
    return any(is_junk(part) for part in parts)


def listed_names(names: Iterable[str], *, shown: int = 5) -> str:
    """Return names of files for a message: the first few in order, on one line, and how many more."""
    ordered = sorted(names)
    more = f" and {len(ordered) - shown} more" if len(ordered) > shown else ""
    return ", ".join(name if name.isprintable() else ascii(name) for name in ordered[:shown]) + more
