from pathlib import Path

import pytest

from edgeblend.calibration.data.globbing import glob_once
from edgeblend.calibration.data.sources import find_images


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jpg", "one/b.jpg", "one/two/c.jpg", "three/d.jpg", ".hidden/e.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def matches(folder, pattern):
    return sorted(path.relative_to(folder).as_posix() for path in glob_once(folder / pattern))


def test_any_depth(folder):
    assert matches(folder, "**/*.jpg") == ["a.jpg", "one/b.jpg", "one/two/c.jpg", "three/d.jpg"]
    assert matches(folder, "one/**") == ["one/b.jpg", "one/two", "one/two/c.jpg"]
    assert matches(folder, "*/**/*.jpg") == ["one/b.jpg", "one/two/c.jpg", "three/d.jpg"]
    assert sorted(set(matches(folder, "**/t*/**/*.jpg"))) == ["one/two/c.jpg", "three/d.jpg"]
    assert matches(folder, "gone/**/*.jpg") == []


def test_any_depth_from_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder / "one")
    assert find_images("**/*.jpg") == [Path("b.jpg"), Path("two/c.jpg")]


def test_links_that_lead_back_up_end(folder):
    (folder / "one" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "one" / "two" / "self").symlink_to(".", target_is_directory=True)
    wanted = ["a.jpg", "one/b.jpg", "one/two/c.jpg", "three/d.jpg"]
    assert matches(folder, "**/*.jpg") == wanted
    found = find_images(folder / "**")
    assert [path.relative_to(folder).as_posix() for path in found] == wanted


def test_a_folder_goes_by_its_own_name(folder):
    (folder / "a-link").symlink_to(folder / "three", target_is_directory=True)
    assert "three/d.jpg" in matches(folder, "**/*.jpg")
    assert "a-link/d.jpg" not in matches(folder, "**/*.jpg")


def test_a_link_to_elsewhere_is_followed_once(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x.jpg").touch()
    for name in ("one/out", "three/out"):
        (folder / name).symlink_to(elsewhere, target_is_directory=True)
    assert [name for name in matches(folder, "**/*.jpg") if name.endswith("x.jpg")] == ["one/out/x.jpg"]


def test_links_to_nothing_are_passed_over(folder):
    (folder / "gone").symlink_to(folder / "nowhere", target_is_directory=True)
    assert len(find_images(folder / "**")) == 4


def test_names_with_glob_characters(folder):
    (folder / "set [1]").mkdir()
    (folder / "set [1]" / "f.jpg").touch()
    assert "set [1]/f.jpg" in matches(folder, "**/*.jpg")


def test_the_order_of_folders_is_that_of_their_names(folder):
    assert [path.name for path in find_images(folder / "**")] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
