"""Looking at paths never raises."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeblend.files import paths

TOO_LONG = ["n" * 300, "x/" * 3000 + "y", "a\0b"]


@pytest.mark.parametrize("path", TOO_LONG, ids=["name", "path", "null byte"])
def test_names_that_no_system_takes_are_not_there(path: str) -> None:
    assert (paths.is_file(path), paths.is_dir(path), paths.exists(path)) == (False, False, False)


def test_what_is_there_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    link = tmp_path / "broken link"
    link.symlink_to(tmp_path / "nowhere")
    assert (paths.is_file(file), paths.is_dir(file), paths.exists(file)) == (True, False, True)
    assert (paths.is_file(tmp_path), paths.is_dir(tmp_path)) == (False, True)
    assert (paths.is_file(link), paths.exists(link)) == (False, True)
