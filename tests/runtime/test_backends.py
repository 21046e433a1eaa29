"""What every engine must offer, over the registry, and how the registry finds them."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from edgeblend import engine_packages
from edgeblend.errors import EngineError, MissingPackageError
from edgeblend.runtime.backends import registry
from edgeblend.runtime.backends.base import EngineInfo
from edgeblend.testing import EngineContract


class Own(EngineContract):
    """An engine of our own, with the tiny model."""

    @pytest.fixture
    def float_bundle(self, tiny_on):
        return tiny_on(self.engine)

    @pytest.fixture
    def int8_bundle(self, tiny_int8_on):
        return tiny_int8_on(self.engine)

    @pytest.fixture
    def frame(self, photograph):
        return photograph


class TestOpenVino(Own):
    engine = "openvino"


class TestOnnxRuntime(Own):
    engine = "onnxruntime"


class TestTflite(Own):
    engine = "tflite"


def test_every_engine_is_held_to_the_contract() -> None:
    tested = {contract.engine for contract in Own.__subclasses__()}
    assert tested == set(registry.BACKENDS)


def test_an_unknown_engine_lists_the_known() -> None:
    with pytest.raises(EngineError, match=r"unknown engine 'abacus'; known are .*openvino"):
        registry.load_backend("abacus")


@pytest.mark.parametrize("name", registry.BACKENDS)
def test_a_missing_engine_names_its_extra(name, monkeypatch) -> None:
    entry = registry.BACKENDS[name]
    for package in entry.packages:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf'pip install "edgeblend\[{entry.extra}\]"') as caught:
        registry.load_backend(name)
    assert (caught.value.name, caught.value.extra) == (entry.packages[0], entry.extra)


@pytest.mark.parametrize("error", [OSError("no home"), RuntimeError("no\nhome"), KeyError("getpwuid")])
@pytest.mark.parametrize("name", registry.BACKENDS)
def test_whatever_an_engine_raises_while_it_is_imported_is_ours(name, error, monkeypatch) -> None:
    """It is there, so that the advice to install it would lead nowhere."""

    def fail(module: str) -> None:
        raise error

    monkeypatch.setattr(registry, "import_module", fail)
    with pytest.raises(EngineError, match=f"engine '{name}': .* is there, but cannot be imported") as caught:
        registry.load_backend(name)
    assert type(error).__name__ in str(caught.value)
    assert "pip install" not in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_a_foreign_engine_that_fails_while_it_is_imported(monkeypatch, tmp_path) -> None:
    (tmp_path / "failing_engine.py").write_text("raise OSError('no home')")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = EntryPoint("foreign", "failing_engine", engine_packages.ENTRY_POINT_GROUP)
    monkeypatch.setattr(engine_packages, "entry_points", lambda group: [entry])
    with pytest.raises(EngineError, match="'foreign'.*cannot be imported: OSError: no home"):
        registry.load_backend("foreign")


def test_another_package_can_bring_an_engine(monkeypatch) -> None:
    engine = SimpleNamespace(engine_info=lambda: EngineInfo("1.0", ()))
    monkeypatch.setitem(sys.modules, "foreign_engine", engine)
    entry = EntryPoint("foreign", "foreign_engine", engine_packages.ENTRY_POINT_GROUP)
    monkeypatch.setattr(engine_packages, "entry_points", lambda group: [entry])
    assert "foreign" in registry.backend_names()
    assert registry.load_backend("foreign").engine_info().version == "1.0"


def test_a_foreign_engine_that_cannot_be_imported(monkeypatch) -> None:
    entry = EntryPoint("foreign", "no_such_module", engine_packages.ENTRY_POINT_GROUP)
    monkeypatch.setattr(engine_packages, "entry_points", lambda group: [entry])
    with pytest.raises(EngineError, match="'foreign'.*no_such_module"):
        registry.load_backend("foreign")
