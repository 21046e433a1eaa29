"""What a run has found so far: in its journal, and nothing of it in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from edgeblend.errors import InputError
from edgeblend.files.paths import is_file
from edgeblend.runs import folder as run_folder
from edgeblend.runs.folder import INSTANCES_FILE, OVERLAYS, whole_file
from edgeblend.runs.journal import (
    JOURNAL_FILE,
    End,
    Failure,
    Header,
    Journal,
    Line,
    Picture,
    encode,
    read_header,
    read_lines,
)
from edgeblend.terminal.printing import as_text


def digest_names(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of pictures' names in their order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(path) + b"\0")
    return digest.hexdigest()


class RunResults:
    """Results on disk. The folder is made with the first picture that can be read."""

    def __init__(self, out: Path, header: Header, *, overlays: bool, overwrite: bool) -> None:
        self._out, self._header, self._overlays = out, header, overlays
        self._overwrite = overwrite
        self._journal: Journal | None = None
        self._waiting: list[Failure] = []  # until there is a journal
        self.images = 0
        self.failures = 0
        self.end: End | None = None
        """Last line of a run that was complete before; None otherwise."""
        self._stop = 0  # of the journal then

    @property
    def done(self) -> int:
        """Number of pictures that need no more work."""
        return self.images + self.failures

    def resume(self, paths: Sequence[Path]) -> None:
        """Go on with the run in the folder; without one, this one begins.

        A picture whose overlay is not there as it was written, or that is not the next of the pictures, and
        everything after it, is done again.

        Raises:
            InputError: it is another run.
            OutputError: it cannot be written, or another process is at it.
        """
        path = self._out / JOURNAL_FILE
        found = read_header(path)
        if found is None:
            self._overwrite = True  # what is there is a journal's first half line, or nothing
            return
        if found != self._header:
            differences = _differences(path, found, self._header, paths)
            raise InputError(
                f"{self._out}: this run cannot be resumed: {differences}; do as before, or pass --overwrite"
            )
        lines = read_lines(path)
        _, position = next(lines)  # the header
        for line, end in lines:
            if isinstance(line, End):
                if self.done == len(paths) and is_file(self._out / INSTANCES_FILE):
                    self.end, self._stop = line, end
                break
            if not self._goes_on(line, paths):
                break
            self.images += isinstance(line, Picture)
            self.failures += isinstance(line, Failure)
            position = end
        if self.end is None:
            self._journal = run_folder.go_on(self._out, position, overlays=self._overlays)

    def position(self, total: int) -> str:
        """Return in a sentence how far a resumed run of ``total`` pictures has come; empty before any."""
        if self.end is not None:
            return f"{as_text(self._out)}: this run is complete, all {total} pictures are done"
        return f"going on after {self.done} of {total} pictures" if self.done else ""

    def add_picture(
        self,
        file: str,
        size: tuple[int, int],
        annotations: Sequence[Mapping[str, Any]],
        *,
        timings_ms: Mapping[str, float],
        overlay: tuple[str, bytes] | None,
    ) -> None:
        """Keep what was found in a picture.

        Args:
            file: name of the picture.
            size: (height, width).
            annotations: COCO's records, without numbers.
            timings_ms: by stage.
            overlay: name and content of its file.

        Raises:
            OutputError: it cannot be written.
        """
        height, width = size
        image = {"id": self.next_image, "file_name": file, "height": height, "width": width}
        name, data = overlay or (None, b"")
        # First the line, then the overlay: so the journal names every file that is there.
        self._opened().add(
            Picture(encode(image), [encode(item) for item in annotations], file, timings_ms, name, len(data))
        )
        self.images += 1
        if name is not None:
            with whole_file(self._out, f"{OVERLAYS}/{name}") as target:
                target.write(data)

    def add_failure(self, file: str, error: str) -> None:
        """Note that a picture cannot be read."""
        failure = Failure(file, error)
        if self._journal is None:
            self._waiting.append(failure)
        else:
            self._journal.add(failure)
        self.failures += 1

    @property
    def next_image(self) -> int:
        """The number of the next picture that can be read, from 1."""
        return self.images + 1

    def write_coco(self, categories: Sequence[Mapping[str, Any]]) -> None:
        """Write all that was found as one COCO file, unless there is no picture.

        Raises:
            OutputError: it cannot be written.
        """
        if self._journal is None:
            return
        with whole_file(self._out, INSTANCES_FILE, synced=True) as file:
            _write_coco(file, self._journal, categories)

    def finish(self, info: Mapping[str, Any]) -> None:
        """Note that all is done.

        Raises:
            OutputError: it cannot be written.
        """
        if self._journal is not None:
            self._journal.add(End(info))
            self._journal.sync()

    def lines(self) -> Iterator[Line]:
        """Yield what is known of every picture, in order."""
        if self._journal is not None:
            return self._journal.lines()
        if self.end is not None:
            return (line for line, _ in read_lines(self._out / JOURNAL_FILE, end=self._stop))
        return iter(self._waiting)

    def close(self) -> None:
        """Let go of the journal, with everything in it on disk."""
        if self._journal is not None:
            try:
                self._journal.sync()
            finally:
                self._journal.close()

    def _opened(self) -> Journal:
        if self._journal is None:
            if self._overwrite:
                run_folder.clear(self._out)
            self._journal = run_folder.begin(self._out, self._header, overlays=self._overlays)
            for failure in self._waiting:
                self._journal.add(failure)
            self._waiting.clear()
        return self._journal

    def _goes_on(self, line: Line, paths: Sequence[Path]) -> bool:
        """Return whether a line is about the next picture, numbered so, and its overlay is there."""
        if not isinstance(line, Picture | Failure) or self.done >= len(paths):
            return False
        if line.file != as_text(paths[self.done]):
            return False
        if isinstance(line, Failure):
            return True
        return bytes(line.image).startswith(b'{"id":%d,' % self.next_image) and self._has_overlay(line)

    def _has_overlay(self, picture: Picture) -> bool:
        if picture.overlay is None:
            return True
        try:
            return (self._out / OVERLAYS / picture.overlay).stat().st_size == picture.overlay_bytes
        except OSError:
            return False


def _write_coco(file: BinaryIO, journal: Journal, categories: Sequence[Mapping[str, Any]]) -> None:
    file.write(b'{"images":[')
    comma = b""
    for line in journal.lines():
        if isinstance(line, Picture):
            file.write(comma + bytes(line.image))
            comma = b","
    file.write(b'],"categories":' + msgspec.json.encode(categories) + b',"annotations":[')
    number, comma = 0, b""
    for line in journal.lines():
        for annotation in line.annotations if isinstance(line, Picture) else ():
            number += 1
            file.write(comma + b'{"id":%d,"iscrowd":0,' % number + bytes(annotation)[1:])
            comma = b","
    file.write(b"]}")


def _differences(path: Path, then: Header, now: Header, paths: Sequence[Path]) -> str:
    """Return in words what differs between two runs."""
    found = []
    if then.edgeblend != now.edgeblend:
        found.append(f"it was made by edgeblend {then.edgeblend}, and this is {now.edgeblend}")
    if then.bundle != now.bundle:
        found.append("the bundle is another one")
    options = sorted({*then.options, *now.options})
    found += [
        f"{name} was {then.options.get(name)!r} and is {now.options.get(name)!r}"
        for name in options
        if then.options.get(name) != now.options.get(name)
    ]
    if then.pictures != now.pictures:
        found.append(f"there were {then.pictures} pictures and are {now.pictures}")
    elif then.pictures_sha256 != now.pictures_sha256:
        found.append(_first_other(path, paths))
    return "; ".join(found)


def _first_other(path: Path, paths: Sequence[Path]) -> str:
    files = (line.file for line, _ in read_lines(path) if isinstance(line, Picture | Failure))
    for number, (was, now) in enumerate(zip(files, map(as_text, paths), strict=False), 1):
        if was != now:
            return f"picture {number} was {was} and is {now}"
    return "the pictures have other names"
