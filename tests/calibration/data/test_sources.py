import os
from pathlib import Path

import pytest

from edgeblend.calibration.data.sources import find_images, look_for_images, source_kind
from edgeblend.errors import InputError

FILES = [
    "b.jpg",
    "a.PNG",
    "notes.txt",
    ".hidden.jpg",
    "deep/c.webp",
    "deep/deeper/d.tif",
    ".cache/e.jpg",
    "deep/f.json",
]


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


def test_a_file_is_itself_whatever_its_suffix(folder):
    assert find_images(folder / "b.jpg") == [folder / "b.jpg"]
    assert find_images(str(folder / "notes.txt")) == [folder / "notes.txt"]


def test_a_folder_gives_its_own_pictures_sorted(folder):
    assert names(find_images(folder), folder) == ["a.PNG", "b.jpg"]
    assert names(find_images(f"{folder}{os.sep}"), folder) == ["a.PNG", "b.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["b.jpg"]),
        ("*", ["a.PNG", "b.jpg"]),
        ("**", ["a.PNG", "b.jpg", "deep/c.webp", "deep/deeper/d.tif"]),
        ("**/*.tif", ["deep/deeper/d.tif"]),
        ("deep/**/*", ["deep/c.webp", "deep/deeper/d.tif"]),
        ("?.[jP]*", ["a.PNG", "b.jpg"]),
    ],
)
def test_a_glob_gives_the_pictures_it_matches(folder, pattern, expected):
    assert names(find_images(folder / pattern), folder) == expected


def test_home_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert find_images("~/b.jpg") == [folder / "b.jpg"]
    assert find_images("~/deep/*.webp") == [folder / "deep" / "c.webp"]


def test_a_relative_pattern_stays_relative(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert find_images("*.jpg") == [Path("b.jpg")]
    assert find_images(".") == [Path("a.PNG"), Path("b.jpg")]


@pytest.mark.parametrize("name", ["shot[1].jpg", "set [a]/x.jpg"])
def test_an_existing_name_with_glob_characters_wins(tmp_path, name):
    literal = tmp_path / name
    literal.parent.mkdir(exist_ok=True)
    literal.touch()
    (tmp_path / "shot1.jpg").touch()
    assert find_images(literal) == [literal]
    if literal.parent != tmp_path:
        assert find_images(literal.parent) == [literal]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("missing.jpg", ["missing.jpg", "no such file"]),
        ("*.bmp", ["*.bmp", "no pictures", ".jpg"]),
        ("*.txt", ["*.txt", "no pictures", "1 file that is no picture was passed over: 1 .txt"]),
        ("x" * 300 + ".jpg", ["no such file"]),
        ("a\0.jpg", ["no such file"]),
        ("gone.mp4", ["gone.mp4: no such file"]),
        ("gone.json", ["gone.json: no such file"]),
        ("odd:name.png", ["odd:name.png: no such file"]),
        ("C:\\x.png", ["x.png: no such file"]),
        ("empty", ["empty", "no pictures", "**"]),
    ],
)
def test_nothing_found_says_what_was_looked_for(folder, pattern, words):
    (folder / "empty").mkdir()
    with pytest.raises(InputError) as excinfo:
        find_images(folder / pattern)
    for word in words:
        assert word in str(excinfo.value)


def test_an_empty_name_is_not_the_current_folder():
    with pytest.raises(InputError, match="empty name"):
        find_images("")


def test_a_tilde_that_is_no_home_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "~copy.jpg").touch()
    assert find_images("~copy.jpg") == [Path("~copy.jpg")]
    with pytest.raises(InputError, match="~nobody-here"):
        find_images("~nobody-here/a.jpg")


# What is passed over


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_what_is_passed_over_is_counted(tmp_path):
    fill(tmp_path, "a.jpg", "b.HEIC", "c.heic", "d.txt", "README", "deep/e.raw")
    found = look_for_images(tmp_path)
    assert names(found.paths, tmp_path) == ["a.jpg"]
    assert found.notes == (
        f"{tmp_path}: 4 files that are no pictures were passed over: 1 without a suffix, 2 .heic, 1 .txt",
    )
    below = look_for_images(tmp_path / "**")
    assert below.notes[0].endswith(": 1 without a suffix, 2 .heic, 1 .raw, 1 .txt")


def test_of_videos_it_is_said_what_takes_them(tmp_path):
    fill(tmp_path, "a.jpg", "b.mp4")
    (note,) = look_for_images(tmp_path).notes
    assert "1 file that is no picture was passed over: 1 .mp4" in note
    assert "`edgeblend quantize --calibration`" in note


def test_what_systems_leave_is_nothing(tmp_path):
    fill(tmp_path, "a.jpg", "._a.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden/b.jpg")
    for pattern in (tmp_path, tmp_path / "*", tmp_path / "**"):
        found = look_for_images(pattern)
        assert (names(found.paths, tmp_path), found.notes) == (["a.jpg"], ())


def test_nothing_passed_over_is_nothing_to_say(folder):
    assert look_for_images(folder / "*.jpg").notes == ()


# What else may be named


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jpg", "picture"),
        ("a.anything", "picture"),
        ("a:b.png", "picture"),
        ("rtsp:/c.png", "picture"),
        ("12", "picture"),
        ("a.MP4", "video"),
        ("a.json", "COCO file"),
        ("shots.mp4/a.jpg", "picture"),
    ],
)
def test_what_exists_is_what_it_is(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, name)
    assert source_kind(name) == kind
    if "/" in name and "." in name.split("/")[0]:
        assert source_kind(name.split("/")[0]) == "folder"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rtsp://camera/stream", "address"),
        ("https://example.org/a.jpg", "address"),
        ("https://example.org/a.jpg?size=[1]", "address"),
        (Path("https://example.org/a.mp4"), "address"),
        ("0", "camera"),
        ("/dev/null", "camera"),
        ("**/*.jpg", "glob"),
        ("a:b*.png", "glob"),
    ],
)
def test_what_does_not_exist_is_what_it_looks_like(name, kind):
    assert source_kind(name) == kind


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.mp4", ["a video", "`edgeblend quantize --calibration`", "Segmenter.stream"]),
        ("a.json", ["a JSON file", "name the folder", "`edgeblend compare --annotations`"]),
        ("rtsp://camera/stream", ["an address", "Segmenter.stream"]),
        ("0", ["a camera", "Segmenter.stream"]),
    ],
)
def test_what_is_no_picture_is_refused_with_what_takes_it(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, "a.mp4", "a.json")
    with pytest.raises(InputError) as excinfo:
        find_images(name)
    assert str(excinfo.value).startswith(f"{name}: ")
    for word in words:
        assert word in str(excinfo.value)
