"""Every error of ours survives pickling and copying, and can be told with more text."""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib
import importlib.util
import pickle
import pkgutil
from pathlib import Path

import pytest

import edgeblend
from edgeblend.errors import EdgeBlendError, InputError, MissingPackageError, with_text


def _sources() -> dict[str, str]:
    """Return the source of every module by its name, without importing what it does not need."""
    specs = {
        module.name: importlib.util.find_spec(module.name)
        for module in pkgutil.walk_packages(edgeblend.__path__, "edgeblend.")
    }
    return {
        name: Path(spec.origin).read_text("utf-8")
        for name, spec in specs.items()
        if spec is not None and spec.origin is not None
    }


SOURCES = _sources()


def _defines_errors(source: str) -> bool:
    return any(
        isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id.endswith("Error") for base in node.bases)
        for node in ast.walk(ast.parse(source))
    )


def _classes() -> list[type[EdgeBlendError]]:
    """Return the root and all classes below it, wherever in the package they are defined."""
    for name, source in SOURCES.items():
        if _defines_errors(source):
            with contextlib.suppress(ImportError):  # an extra that is not installed
                importlib.import_module(name)
    found, waiting = [], [EdgeBlendError]
    while waiting:
        kind = waiting.pop()
        if kind.__module__.startswith("edgeblend."):
            found.append(kind)
        waiting += kind.__subclasses__()
    return sorted(set(found), key=lambda kind: kind.__qualname__)


CLASSES = _classes()


def _made(kind: type[EdgeBlendError]) -> EdgeBlendError:
    """Return an error that carries more than a text, whatever its constructor takes."""
    error = kind.__new__(kind, "text")
    error.frame_index = 7
    error.names = ("a", "b")
    return error


def _same(one: EdgeBlendError, other: EdgeBlendError) -> bool:
    alike = (type(one), str(one), one.args, one.__dict__) == (
        type(other),
        str(other),
        other.args,
        other.__dict__,
    )
    return alike and one is not other and one.exit_code == other.exit_code


def test_the_package_has_the_classes_that_it_documents():
    assert {"InputError", "ConversionError", "CheckpointMismatchError"} <= {kind.__name__ for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__qualname__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_pickles(kind, protocol):
    error = _made(kind)
    assert _same(error, pickle.loads(pickle.dumps(error, protocol)))  # noqa: S301 - written here


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__qualname__)
def test_it_copies(kind):
    error = _made(kind)
    assert _same(error, copy.copy(error))
    assert _same(error, copy.deepcopy(error))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__qualname__)
def test_it_can_be_told_otherwise(kind):
    error = _made(kind)
    error.add_note("a note")
    told = with_text(error, "frame 3: text")
    assert (type(told), str(told), told.args) == (kind, "frame 3: text", ("frame 3: text",))
    assert (told.frame_index, told.names, told.exit_code) == (7, ("a", "b"), kind.exit_code)
    told.add_note("another")
    assert error.__notes__ == ["a note"]


class _Odd(InputError):
    """Takes what no text is, and gives its text itself."""

    def __init__(self, *, path: str, line: int) -> None:
        super().__init__(f"{path}:{line}: odd")
        self.path, self.line = path, line


def test_a_constructor_that_takes_other_things():
    error = _Odd(path="x.json", line=3)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - written here
    assert _same(error, copied)
    assert (str(copied), copied.path, copied.line) == ("x.json:3: odd", "x.json", 3)
    told = with_text(error, "bundle: odd")
    assert (type(told), str(told), told.line) == (_Odd, "bundle: odd", 3)


def test_a_missing_package_is_an_import_error_that_names_the_extra():
    error = MissingPackageError.for_task("converting", "torch", extra="convert")
    advice = 'run `pip install "edgeblend[convert]"`'
    assert str(error) == f"converting needs torch, which is not installed; {advice}"
    assert isinstance(error, ImportError) and isinstance(error, EdgeBlendError)
    assert not isinstance(InputError("a.png: no such file"), ImportError)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - written here
    assert _same(error, copied)
    assert (copied.name, copied.extra) == ("torch", "convert")
    told = with_text(error, "bundle: no")
    assert (str(told), told.name, told.extra) == ("bundle: no", "torch", "convert")


def test_an_error_of_python_can_be_told_otherwise():
    told = with_text(KeyError("a"), "b")
    assert type(told) is KeyError
    assert told.args == ("b",)


def test_nothing_builds_an_error_of_a_class_that_it_does_not_know():
    """The constructor of another class may take other things; :func:`with_text` never calls it."""
    assert [name for name, source in SOURCES.items() if "type(error)(" in source] == []


def test_a_message_is_one_line_whatever_it_is_made_of():
    error = InputError("a.png: an engine says:\n  first\r\n\n  second\u2028third")
    assert str(error) == "a.png: an engine says: first second third"
    assert error.args == ("a.png: an engine says:\n  first\r\n\n  second\u2028third",)
    assert str(InputError("a  b.png: is no picture")) == "a  b.png: is no picture"
    assert str(InputError()) == ""


def test_the_middle_of_a_long_message_is_left_out():
    error = InputError(f"file: {'x' * 5000}; convert it again")
    assert len(str(error)) == 1000
    assert str(error).startswith("file: xxx") and str(error).endswith("; convert it again")
    assert str(InputError("y" * 1000)) == "y" * 1000


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("http://x/y.mp4", "http://x/y.mp4"),
        ("rtsp://user@cam:554/live", "rtsp://user@cam:554/live"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("C:/pictures", "C:/pictures"),
        ("at:/home", "at:/home"),
    ],
)
def test_an_address_that_a_path_was_made_of_keeps_its_slashes(path, shown):
    assert str(InputError(f"{Path(path)}: no")) == f"{shown}: no"
    assert str(InputError(f"{path}: no")) == f"{shown}: no"
