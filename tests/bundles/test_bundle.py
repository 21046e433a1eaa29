from __future__ import annotations

import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from bundle_factory import write_tiny_bundle

from edgeblend.bundle import Bundle, stage_bundle
from edgeblend.errors import BundleError, OutputError
from edgeblend.manifest import MANIFEST_NAME


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "tiny")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "tiny.zip")


def rezip(folder: Path, target: Path, *, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)
    return target


def test_a_folder_and_a_zip_hold_the_same(folder: Path, archive: Path) -> None:
    from_folder, from_zip = Bundle.load(folder), Bundle.load(archive)
    assert from_folder.manifest == from_zip.manifest
    assert [path.read_bytes() for path in from_folder.graph_files("detector")] == [
        path.read_bytes() for path in from_zip.graph_files("detector")
    ]


def test_the_first_graph_file_is_the_one_to_open(folder: Path) -> None:
    assert Bundle.load(folder).graph_files("basis") == (folder / "basis.xml", folder / "basis.bin")


def test_a_zip_of_the_folder_itself_is_read(folder: Path, tmp_path: Path) -> None:
    assert Bundle.load(rezip(folder, tmp_path / "made-by-hand.zip", prefix="tiny/")).manifest.things == (
        "cat",
        "dog",
    )


def test_equal_bundles_are_equal_zips(tmp_path: Path) -> None:
    first, second = write_tiny_bundle(tmp_path / "a.zip"), write_tiny_bundle(tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()


def test_the_temporary_copy_of_a_zip_goes_with_the_bundle(archive: Path) -> None:
    bundle = Bundle.load(archive)
    copy = bundle.folder
    assert copy.is_dir()
    del bundle
    assert not copy.exists()


@pytest.mark.parametrize("name", ["detector.xml", "basis.bin", "attention.safetensors"])
def test_one_changed_byte_is_named_with_both_digests(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[3] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name}: content was altered: expected SHA-256 .*found \w{{64}}"):
        Bundle.load(folder)


def test_one_changed_byte_in_a_zip(folder: Path, tmp_path: Path) -> None:
    data = bytearray((folder / "basis.bin").read_bytes())
    data[0] ^= 1
    (folder / "basis.bin").write_bytes(data)
    with pytest.raises(BundleError, match=r"basis.bin: content was altered"):
        Bundle.load(rezip(folder, tmp_path / "changed.zip"))


def test_a_byte_changed_inside_the_zip_file(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[data.index(b"content of basis.bin")] ^= 1
    archive.write_bytes(data)
    with pytest.raises(BundleError):  # zip's own checksum, or the digest: whichever comes first
        Bundle.load(archive)


def test_another_size(folder: Path) -> None:
    (folder / "basis.bin").write_bytes(b"content of basis.bin and more")
    with pytest.raises(BundleError, match=r"expected 20 bytes, found 29"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", ["detector.bin", "attention.safetensors"])
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"missing {name}"):
        Bundle.load(folder)
    with pytest.raises(BundleError, match=f"missing {name}"):
        Bundle.load(rezip(folder, tmp_path / "missing.zip"))


def test_a_file_too_many_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(BundleError, match=r"does not list: notes\.txt"):
        Bundle.load(folder)
    with pytest.raises(BundleError, match=r"does not list: notes\.txt"):
        Bundle.load(rezip(folder, tmp_path / "more.zip"))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        Bundle.load(tmp_path / "none")


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"no {MANIFEST_NAME}"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_zip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.zip"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="neither a folder nor a complete"):
        Bundle.load(path)


def test_a_truncated_zip(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(BundleError):
        Bundle.load(archive)


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../evil.txt", "..\\evil.txt", "C:evil.txt"])
def test_zip_entries_that_point_outside_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    path = rezip(folder, tmp_path / "outside.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "evil")
    with pytest.raises(BundleError, match="points outside the bundle"):
        Bundle.load(path)
    assert not list(tmp_path.parent.glob("**/evil.txt"))


JUNK = (
    ".DS_Store",
    "._basis.bin",
    "Thumbs.db",
    "THUMBS.DB",
    "desktop.ini",
    ".directory",
    "Icon\r",
    ".localized",
    ".apdisk",
    "manifest.json:Zone.Identifier",
)
JUNK_FOLDERS = (
    "__MACOSX",
    "@eaDir",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
    ".AppleDouble",
    ".Trash-1000",
    "$RECYCLE.BIN",
    "System Volume Information",
    "Network Trash Folder",
    "#recycle",
)


def test_what_systems_leave_in_a_folder_is_passed_over(folder: Path) -> None:
    for name in JUNK:
        (folder / name).write_text("junk")
    for name in JUNK_FOLDERS:
        (folder / name / "deep").mkdir(parents=True)
        (folder / name / "deep" / "file").write_text("junk")
    assert Bundle.load(folder).manifest.things == ("cat", "dog")


@pytest.mark.parametrize("prefix", ["", "tiny/"])
def test_what_systems_leave_in_a_zip_is_passed_over(folder: Path, tmp_path: Path, prefix: str) -> None:
    path = rezip(folder, tmp_path / "mac.zip", prefix=prefix)
    with zipfile.ZipFile(path, "a") as archive:
        for name in JUNK:
            archive.writestr(prefix + name, "junk")
            archive.writestr(f"__MACOSX/{prefix}._{name}", "junk")
        for name in JUNK_FOLDERS:
            archive.writestr(f"{prefix}{name}/a/b/c", "junk")
    bundle = Bundle.load(path)
    assert {file.name for file in bundle.folder.iterdir()} == {file.name for file in folder.iterdir()}


def test_a_junk_entry_that_points_outside_is_refused_all_the_same(folder: Path, tmp_path: Path) -> None:
    path = rezip(folder, tmp_path / "outside.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../__MACOSX/x", "evil")
    with pytest.raises(BundleError, match="points outside the bundle"):
        Bundle.load(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["notes.txt"], r"does not list: notes\.txt; move them elsewhere"),
        (["sub/a.txt"], r"does not list: sub/(a\.txt)?; move them elsewhere"),
        (list("abcdefg"), "does not list: a, b, c, d, e and 2 more; move"),
        (["odd\nname"], r"does not list: 'odd\\nname'"),
    ],
)
def test_other_files_are_named_with_what_to_do(
    folder: Path, tmp_path: Path, names: list[str], message: str
) -> None:
    path = rezip(folder, tmp_path / "more.zip")
    with zipfile.ZipFile(path, "a") as archive:
        for name in names:
            archive.writestr(name, "mine")
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("mine")
    for place in (folder, path):
        with pytest.raises(BundleError, match=message) as caught:
            Bundle.load(place)
        assert "\n" not in str(caught.value)


def test_a_file_beside_the_folder_in_a_zip_is_named(folder: Path, tmp_path: Path) -> None:
    path = rezip(folder, tmp_path / "beside.zip", prefix="tiny/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.txt", "mine")
    with pytest.raises(BundleError, match=r"does not list: README\.txt; move them elsewhere"):
        Bundle.load(path)


def test_a_bundle_two_folders_deep_says_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="lies too deep in it, in exports/tiny; pack that folder itself"):
        Bundle.load(rezip(folder, tmp_path / "deep.zip", prefix="exports/tiny/"))
    with pytest.raises(BundleError, match=r"has no manifest\.json; .*/exports/tiny is one"):
        (tmp_path / "exports").mkdir()
        folder.rename(tmp_path / "exports" / "tiny")
        Bundle.load(tmp_path / "exports")


def test_a_zip_of_two_bundles_says_so(folder: Path, tmp_path: Path) -> None:
    path = rezip(folder, tmp_path / "two.zip", prefix="one/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(folder / MANIFEST_NAME, f"two/{MANIFEST_NAME}")
    with pytest.raises(BundleError, match=r"more than one bundle \(one, two\)"):
        Bundle.load(path)


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + ".zip", "y/" * 2500, "a\0b"])
def test_a_path_that_no_system_takes(name: str) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        Bundle.load(name)


def test_zip_links_are_refused(folder: Path, tmp_path: Path) -> None:
    path = rezip(folder, tmp_path / "link.zip")
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(BundleError, match="is a link"):
        Bundle.load(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_entry_without_a_name_is_refused(folder: Path, tmp_path: Path) -> None:
    path = rezip(folder, tmp_path / "nameless.zip")
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo("x")
        entry.filename = ""
        archive.writestr(entry, "data")
    with pytest.raises(BundleError, match="refused: an entry has no name"):
        Bundle.load(path)


def test_zip_entries_that_occur_twice_are_refused(folder: Path, tmp_path: Path) -> None:
    path = rezip(folder, tmp_path / "twice.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("basis.bin", "content of basis.bin")
    with pytest.raises(BundleError, match="occurs twice"):
        Bundle.load(path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            data = bytes(50 << 20) if file.name == "basis.bin" else file.read_bytes()
            archive.writestr(file.name, data)
    with pytest.raises(BundleError, match=r"basis.bin: expected 20 bytes, found 52428800"):
        Bundle.load(path)


def test_staging_leaves_nothing_behind_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="halfway"), stage_bundle(tmp_path / "out") as folder:
        (folder / "detector.xml").write_text("half")
        raise RuntimeError("halfway")
    assert list(tmp_path.iterdir()) == []


def test_staging_leaves_nothing_behind_after_an_interruption(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), stage_bundle(tmp_path / "out.zip") as folder:
        (folder / "detector.xml").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_staging_takes_back_the_folders_that_it_made(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with pytest.raises(RuntimeError), stage_bundle(tmp_path / "old" / "new" / "deep" / "out"):
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]
    write_tiny_bundle(tmp_path / "old" / "new" / "deep" / "out")
    assert (tmp_path / "old" / "new" / "deep" / "out" / MANIFEST_NAME).is_file()


def test_an_existing_output_is_refused_and_kept(folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(OutputError, match="already exists"), stage_bundle(folder):
        pytest.fail("the block must not be entered")
    assert sorted(path.name for path in folder.iterdir()) == before


def test_an_existing_bundle_is_replaced_when_asked(folder: Path) -> None:
    with stage_bundle(folder, overwrite=True) as staged:
        (staged / "only.txt").write_text("new")
    assert [path.name for path in folder.iterdir()] == ["only.txt"]
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_an_overwrite_that_fails_keeps_the_old_bundle(folder: Path) -> None:
    with pytest.raises(RuntimeError), stage_bundle(folder, overwrite=True):
        raise RuntimeError
    assert Bundle.load(folder).manifest.things == ("cat", "dog")


def test_only_a_bundle_is_ever_overwritten(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("precious")
    with (
        pytest.raises(OutputError, match="is not a bundle"),
        stage_bundle(tmp_path / "photos", overwrite=True),
    ):
        pytest.fail("the block must not be entered")
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "precious"


def test_a_zipped_bundle_is_overwritten_and_another_archive_is_not(archive: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.zip"
    with zipfile.ZipFile(weights, "w") as other:
        other.writestr("archive/data.pkl", "a checkpoint is a zip archive, too")
    with pytest.raises(OutputError, match="is not a bundle"), stage_bundle(weights, overwrite=True):
        pytest.fail("the block must not be entered")
    with stage_bundle(archive, overwrite=True) as staged:
        (staged / "only.txt").write_text("new")
    assert zipfile.ZipFile(archive).namelist() == ["only.txt"]


def test_an_empty_folder_may_be_overwritten(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with stage_bundle(tmp_path / "empty", overwrite=True) as staged:
        (staged / "only.txt").write_text("new")
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["only.txt"]


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), stage_bundle(tmp_path / "file" / "out"):
        pytest.fail("the block must not be entered")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(OutputError, match="cannot be written"), stage_bundle(tmp_path / "out"):
            pytest.fail("the block must not be entered")
    finally:
        tmp_path.chmod(0o755)


def test_a_bundle_can_be_moved(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    shutil.move(folder, moved)
    assert Bundle.load(moved).path == moved
