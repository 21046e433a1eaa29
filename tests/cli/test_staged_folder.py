import json

import pytest

from edgeblend.cli.staged_folder import check_folder, stage_folder
from edgeblend.errors import OutputError

LISTING = "report.json"


def write_earlier(out, *more):
    """A folder as a command leaves it, and files that it does not list."""
    (out / "parts").mkdir(parents=True)
    (out / "parts" / "a.txt").write_text("a")
    (out / LISTING).write_text(json.dumps({"files": [LISTING, "parts/a.txt"]}))
    for name in more:
        (out / name).write_text("precious")
    return out


def test_a_new_folder(tmp_path):
    check_folder(tmp_path / "x" / "out", listing=LISTING, overwrite=False)
    with stage_folder(tmp_path / "x" / "out") as folder:
        (folder / "a.txt").write_text("a")
        assert not (tmp_path / "x" / "out").exists()
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["out"]
    assert (tmp_path / "x" / "out" / "a.txt").read_text() == "a"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_after_a_failure_all_is_as_it_was(tmp_path, failure):
    out = write_earlier(tmp_path / "out")
    for target in (out, tmp_path / "deep" / "er" / "out"):
        with pytest.raises(failure), stage_folder(target) as folder:
            (folder / "b.txt").write_text("b")
            raise failure
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in out.rglob("*.*")) == ["a.txt", LISTING]


def test_replacing_what_was_there(tmp_path):
    out = write_earlier(tmp_path / "out")
    check_folder(out, listing=LISTING, overwrite=True)
    with stage_folder(out) as folder:
        (folder / "b.txt").write_text("b")
    assert [path.name for path in out.iterdir()] == ["b.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_there_is_kept_unless_asked(tmp_path):
    with pytest.raises(OutputError, match="already exists.*--overwrite"):
        check_folder(write_earlier(tmp_path / "out"), listing=LISTING, overwrite=False)


def test_an_empty_folder_may_be_replaced(tmp_path):
    check_folder(tmp_path, listing=LISTING, overwrite=True)


@pytest.mark.parametrize("name", ["mine.txt", "parts/mine.txt", ".hidden"])
def test_a_file_of_somebody_else_is_kept(tmp_path, name):
    out = write_earlier(tmp_path / "out", name)
    with pytest.raises(OutputError, match="did not write"):
        check_folder(out, listing=LISTING, overwrite=True)
    (out / name).unlink()
    check_folder(out, listing=LISTING, overwrite=True)


@pytest.mark.parametrize("listing", [None, b"", b"{}", b"[]", b"\xff", b'{"files": 3}', b'{"files": "mine"}'])
def test_without_a_listing_all_files_are_somebody_elses(tmp_path, listing):
    (tmp_path / "mine").write_text("precious")
    if listing is not None:
        (tmp_path / LISTING).write_bytes(listing)
    with pytest.raises(OutputError, match="did not write"):
        check_folder(tmp_path, listing=LISTING, overwrite=True)


def test_files_and_links_are_no_folders(tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(write_earlier(tmp_path / "out"))
    for name in ("file", "link"):
        with pytest.raises(OutputError, match="is not a folder"):
            check_folder(tmp_path / name, listing=LISTING, overwrite=True)


def test_below_a_file_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputError, match="cannot be written"), stage_folder(tmp_path / "file" / "out"):
        pass
