"""Targets that other packages register by entry point."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("openvino")

from tiny_model import CLASS_NAMES

import edgeblend
from edgeblend import engine_packages
from edgeblend.bundle import Bundle
from edgeblend.converters import targets
from edgeblend.converters.targets import ENTRY_POINT_GROUP, load_target, target_names
from edgeblend.errors import BundleError, EngineError


@pytest.fixture
def register(monkeypatch):
    """A function that registers entry points, (group, name) to value, as installed packages would."""

    def register(**values):
        entries = [EntryPoint("mine", value, f"edgeblend.{group}") for group, value in values.items()]
        monkeypatch.setattr(
            engine_packages,
            "entry_points",
            lambda group: [entry for entry in entries if entry.group == group],
        )

    return register


def renamed(**changes):
    """OpenVINO's exporter as another package might offer it."""
    own = load_target("openvino")
    members = ("FORMAT", "PRECISIONS", "DYNAMIC", "refusal", "export_graph", "tool_versions")
    return SimpleNamespace(**{name: getattr(own, name) for name in members}, **changes)


def test_the_group_is_what_is_documented() -> None:
    assert ENTRY_POINT_GROUP == "edgeblend.targets"


def test_a_target_of_another_package(register, monkeypatch, tiny_model, tmp_path: Path) -> None:
    register(targets="my_export", backends="edgeblend.runtime.backends.openvino")
    monkeypatch.setitem(sys.modules, "my_export", renamed())
    assert target_names() == (*targets.TARGETS, "mine")
    made = edgeblend.convert(
        tiny_model.checkpoint,
        tmp_path / "out",
        config=tiny_model.config,
        class_names=CLASS_NAMES,
        target="mine",
    )
    assert made.manifest.target == "mine"
    assert Bundle.load(tmp_path / "out").manifest == made.manifest
    register()  # where the package is not installed, nothing knows the target
    with pytest.raises(BundleError, match="no engine that is installed is called 'mine'"):
        Bundle.load(tmp_path / "out")


def test_a_target_without_an_engine_is_refused_before_the_work(
    register, monkeypatch, tiny_model, tmp_path: Path
) -> None:
    register(targets="my_export")
    monkeypatch.setitem(sys.modules, "my_export", renamed())
    steps: list[str] = []
    with pytest.raises(EngineError, match="unknown engine 'mine'"):
        edgeblend.convert(
            tiny_model.checkpoint,
            tmp_path / "out",
            config=tiny_model.config,
            class_names=CLASS_NAMES,
            target="mine",
            progress=steps.append,
        )
    assert steps == []
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_imported(register) -> None:
    register(targets="no_such_module:exporter")
    message = (
        r"^target 'mine' \(no_such_module:exporter\): cannot be imported: ModuleNotFoundError: .*; mend or"
    )
    with pytest.raises(EngineError, match=message):
        load_target("mine")
    assert load_target("openvino").FORMAT == "openvino-ir"  # others are not touched


def test_a_target_that_lacks_something(register, monkeypatch) -> None:
    register(targets="my_export")
    broken = renamed()
    del broken.export_graph
    monkeypatch.setitem(sys.modules, "my_export", broken)
    with pytest.raises(EngineError, match=r"^target 'mine' \(my_export\): has no export_graph; install"):
        load_target("mine")


def test_an_unknown_target_lists_all(register) -> None:
    register(targets="my_export")
    with pytest.raises(EngineError, match="unknown target 'abacus'; known are openvino, .*, mine$"):
        load_target("abacus")
