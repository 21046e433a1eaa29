import sys

import msgspec
import pytest
from bundle_factory import write_tiny_bundle

from edgeblend.bundle import Bundle
from edgeblend.converters.quantize import toolkits
from edgeblend.converters.quantize.toolkits import TOOLKITS, Toolkit, load_toolkit
from edgeblend.errors import EngineError, InputError
from edgeblend.recipe import Recipe

RECIPE = Recipe(name="mine")


@pytest.fixture
def manifest(tmp_path):
    return Bundle.load(write_tiny_bundle(tmp_path / "tiny")).manifest


def test_a_toolkit_that_nobody_knows(manifest):
    with pytest.raises(InputError, match="recipe 'mine': unknown toolkit 'abacus'; known are nncf"):
        load_toolkit(Recipe(name="mine", toolkit="abacus"), manifest)


@pytest.mark.parametrize("name", TOOLKITS)
def test_a_toolkit_offers_everything(name, manifest):
    pytest.importorskip(name)
    toolkit, recipe = load_toolkit(Recipe(name="mine", toolkit=name), manifest)
    assert recipe.toolkit == name
    offered = {item for item in vars(Toolkit) if not item.startswith("_")} | set(Toolkit.__annotations__)
    assert {"quantize_model", "each_alone", "FORMATS"} <= offered
    assert offered <= set(dir(toolkit))
    assert set(toolkit.tool_versions()) == {name}


@pytest.mark.parametrize("missing", ["nncf", "openvino"])
def test_a_toolkit_that_is_not_installed_names_its_extra(missing, manifest, monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, TOOLKITS["nncf"], raising=False)
    monkeypatch.delitem(sys.modules, "edgeblend.converters.quantize.layers", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(EngineError, match=rf'needs {missing}.*pip install "edgeblend\[quantize\]"'):
        load_toolkit(RECIPE, manifest)


def test_a_format_that_it_does_not_take(manifest, monkeypatch):
    monkeypatch.setitem(toolkits.TOOLKITS, "fake", "fake_toolkit")
    monkeypatch.setitem(sys.modules, "fake_toolkit", msgspec.defstruct("Fake", [])())
    monkeypatch.setattr(type(sys.modules["fake_toolkit"]), "FORMATS", ("onnx",), raising=False)
    with pytest.raises(InputError, match="fake quantizes graphs of format onnx, the detector graph is"):
        load_toolkit(Recipe(name="mine", toolkit="fake"), manifest)
