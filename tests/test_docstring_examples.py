"""The examples in the docstrings of public names run, and what they print is what they say."""

from __future__ import annotations

import doctest
import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import edgeblend

HAVE_EXAMPLES = {
    "edgeblend.Bundle.load",
    "edgeblend.Instances.__getitem__",
    "edgeblend.Instances.masks",
    "edgeblend.Instances.polygons",
    "edgeblend.Instances.rle",
    "edgeblend.Instances.to_coco",
    "edgeblend.Segmenter.__call__",
    "edgeblend.Segmenter.load",
    "edgeblend.Segmenter.stream",
    "edgeblend.bench",
    "edgeblend.compare",
    "edgeblend.convert",
    "edgeblend.lint_for_npu",
    "edgeblend.measure_sensitivity",
    "edgeblend.quantize",
    "edgeblend.read_image",
}
"""What most people call; others may have examples, too."""

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples_of(value: object, name: str) -> Iterator[doctest.DocTest]:
    """Yield the docstrings with examples of a function, or of a class and its methods."""
    module = importlib.import_module(value.__module__)
    for found in doctest.DocTestFinder(exclude_empty=True).find(value, name, module=module, globs={}):
        if found.examples:
            yield found


def public_examples() -> dict[str, doctest.DocTest]:
    names = [name for name in edgeblend.__all__ if name != "__version__"]
    return {
        test.name: test
        for name in names
        for test in examples_of(getattr(edgeblend, name), f"edgeblend.{name}")
    }


def failures(test: doctest.DocTest, names: dict[str, Any]) -> list[str]:
    """Run the examples; return what each failure says."""
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    test.globs = dict(names)
    runner.run(test, out=said.append)
    return said


@pytest.fixture(scope="module")
def place(tiny_model, small_bundle, small_int8, small_pictures, tmp_path_factory) -> Path:
    """A folder with what the examples name: a checkpoint, its config, two bundles, images."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copy(tiny_model.checkpoint, folder / "model.pth")
    shutil.copy(tiny_model.config, folder / "config.yaml")
    shutil.copytree(small_bundle.folder, folder / "bundle")
    shutil.copytree(small_int8.folder, folder / "bundle-int8")
    shutil.copytree(small_pictures, folder / "images")
    shutil.copy(small_pictures / "0.png", folder / "image.png")
    return folder


@pytest.fixture(scope="module")
def names(place: Path) -> dict[str, Any]:
    """What examples use without making it: the package, and the instances of ``image.png``."""
    with edgeblend.Segmenter.load(place / "bundle") as segmenter:
        instances = segmenter(edgeblend.read_image(place / "image.png"))
    assert len(instances) > 2
    return {"edgeblend": edgeblend, "instances": instances}


@pytest.mark.parametrize("name", sorted(public_examples()))
def test_the_examples_of(name, place, names, monkeypatch) -> None:
    monkeypatch.chdir(place)
    assert failures(public_examples()[name], names) == []


def test_what_most_people_call_has_examples() -> None:
    assert sorted(HAVE_EXAMPLES - set(public_examples())) == []


def test_an_example_that_is_wrong_fails(names) -> None:
    def wrong() -> None:
        """Say a number.

        Example:
            >>> len(edgeblend.__name__)
            8
        """

    (test,) = examples_of(wrong, "wrong")
    (said,) = failures(test, names)
    assert "Expected:\n    8\nGot:\n    9" in said
