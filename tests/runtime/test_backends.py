"""What every engine must offer, over the registry, and how the registry finds them."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from edgeblend.errors import EngineError
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
    with pytest.raises(EngineError, match=rf'pip install "edgeblend\[{entry.extra}\]"'):
        registry.load_backend(name)


def test_another_package_can_bring_an_engine(monkeypatch) -> None:
    engine = SimpleNamespace(engine_info=lambda: EngineInfo("1.0", ()))
    monkeypatch.setitem(sys.modules, "foreign_engine", engine)
    entry = EntryPoint("foreign", "foreign_engine", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    assert "foreign" in registry.backend_names()
    assert registry.load_backend("foreign").engine_info().version == "1.0"


def test_a_foreign_engine_that_cannot_be_imported(monkeypatch) -> None:
    entry = EntryPoint("foreign", "no_such_module", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    with pytest.raises(EngineError, match="'foreign'.*no_such_module"):
        registry.load_backend("foreign")
