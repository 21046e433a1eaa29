"""Files that a command writes its report to, beside what it prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edgeblend.errors import OutputError
from edgeblend.files import staging
from edgeblend.terminal.printing import as_text


class ReportFiles:
    """Files to write after long work: refused before it, and no loss of what was measured if they fail."""

    def __init__(self, paths: Mapping[str, Path | None], *, overwrite: bool) -> None:
        """Look at the files before the work starts.

        Args:
            paths: by the option that names them; None was not asked for.
            overwrite: whether to replace files that exist.

        Raises:
            OutputError: a file cannot be written, is there already, or is named twice.
        """
        self._paths = {option: path for option, path in paths.items() if path is not None}
        self._found = {
            option: staging.check_file(path, overwrite=overwrite) for option, path in self._paths.items()
        }
        self.written: list[Path] = []
        """Files that are there, in the order of their options."""
        named: dict[Path, str] = {}
        for option, path in self._paths.items():
            other = named.setdefault(path.resolve(), option)
            if other != option:
                raise OutputError(f"{path}: named for both {other} and {option}; choose two names")

    def write(self, texts: Mapping[str, Callable[[], str]]) -> OutputError | None:
        """Write what each option's function returns; returns why one could not be written."""
        for option, path in self._paths.items():
            try:
                data = as_text(texts[option]()).encode("utf-8")
                staging.write_atomically(path, data, found=self._found[option])
            except OutputError as error:
                return error
            self.written.append(path)
        return None
