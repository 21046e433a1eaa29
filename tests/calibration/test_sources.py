import os
from pathlib import Path

import pytest

from edgeblend.calibration.sources import find_images
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
        ("*.txt", ["*.txt", "no pictures"]),
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
