"""Calls that went wrong in the field have one place each; the sources say that they are made nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from test_layers import module_names, source_of

ALLOWED: dict[str, frozenset[str]] = {
    # Raise for names that are too long, before Python 3.14.
    ".is_file": frozenset(),
    # Of entries and resources, not of paths.
    ".is_dir": frozenset(
        {
            "edgeblend.calibration.data.globbing",
            "edgeblend.converters.quantize.recipe_files",
            "edgeblend.zipped",
        }
    ),
    ".exists": frozenset(),
    # Switch something for the whole process, under the feet of other threads.
    "redirect_stdout": frozenset(),
    "redirect_stderr": frozenset(),
    "logging.disable": frozenset(),
    "os.dup2": frozenset({"edgeblend.terminal.output"}),
    "os.chdir": frozenset(),
    "os.umask": frozenset({"edgeblend.files.staging"}),
    # Fails for errors whose constructor takes something else than a text.
    "type()()": frozenset(),
}
"""Where each call may be made."""


def calls_of(source: str) -> Iterator[tuple[str, int]]:
    """Yield every call that a module makes, as its table names it, with its line."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Attribute):
            owner = called.value.id if isinstance(called.value, ast.Name) else ""
            yield from ((name, node.lineno) for name in (f"{owner}.{called.attr}", called.attr))
            if owner != "paths":  # functions of edgeblend.files.paths have the same names
                yield f".{called.attr}", node.lineno
        elif isinstance(called, ast.Name):
            yield called.id, node.lineno
        elif isinstance(called, ast.Call) and isinstance(called.func, ast.Name) and called.func.id == "type":
            yield "type()()", node.lineno


@pytest.mark.parametrize("module", module_names())
def test_no_module_makes_a_call_that_has_its_place_elsewhere(module: str) -> None:
    made = calls_of(source_of(module))
    wrong = [f"line {line}: {call}" for call, line in made if module not in ALLOWED.get(call, {module})]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("path.is_file()", ".is_file"),
        ("Path('x').exists()", ".exists"),
        ("contextlib.redirect_stdout(sink)", "redirect_stdout"),
        ("logging.disable(1)", "logging.disable"),
        ("raise type(error)('text')", "type()()"),
    ],
)
def test_such_calls_are_seen(source: str, call: str) -> None:
    assert (call, 1) in set(calls_of(source))


def test_functions_of_the_same_name_elsewhere_are_not_meant() -> None:
    assert {call for call, _ in calls_of("paths.is_file(x)")} == {"paths.is_file", "is_file"}
