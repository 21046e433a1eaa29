import sys

import msgspec
import pytest
from bundle_factory import write_tiny_bundle

from edgeblend.bundle import Bundle
from edgeblend.converters import third_party
from edgeblend.converters.quantize import toolkits
from edgeblend.converters.quantize.toolkits import (
    TOOLKIT_OF_TARGET,
    TOOLKITS,
    Toolkit,
    ToolkitEntry,
    load_toolkit,
)
from edgeblend.errors import EngineError, InputError, MissingPackageError
from edgeblend.recipe import Recipe

RECIPE = Recipe(name="mine")


@pytest.fixture
def manifest(tmp_path):
    return Bundle.load(write_tiny_bundle(tmp_path / "tiny")).manifest


def test_a_toolkit_that_nobody_knows(manifest):
    with pytest.raises(InputError, match="recipe 'mine': unknown toolkit 'abacus'; known are nncf"):
        load_toolkit(Recipe(name="mine", toolkit="abacus"), manifest)


@pytest.mark.parametrize(
    ("target", "name", "form", "tools"),
    [
        ("openvino", "nncf", "openvino-ir", {"nncf"}),
        ("onnxruntime", "nncf-onnx", "onnx", {"nncf"}),
        ("tflite", "ai-edge-quantizer", "tflite", {"ai-edge-quantizer"}),
    ],
)
def test_a_toolkit_offers_everything(target, name, form, tools, manifest):
    graphs = {part: msgspec.structs.replace(graph, format=form) for part, graph in manifest.graphs.items()}
    manifest = msgspec.structs.replace(manifest, target=target, graphs=graphs)
    recipe = Recipe(name="mine", bias_correction="none")
    toolkit, recipe = load_toolkit(recipe, manifest)
    assert recipe.toolkit == name
    offered = {item for item in vars(Toolkit) if not item.startswith("_")} | set(Toolkit.__annotations__)
    assert {"quantize_model", "each_alone", "FORMATS"} <= offered
    assert offered <= set(dir(toolkit))
    assert set(toolkit.tool_versions()) >= tools


def test_every_toolkit_is_a_targets():
    assert set(TOOLKIT_OF_TARGET.values()) == set(TOOLKITS)


def test_a_target_that_nothing_quantizes(manifest):
    with pytest.raises(InputError, match="nothing here quantizes bundles for 'abacus', only for openvino"):
        load_toolkit(RECIPE, msgspec.structs.replace(manifest, target="abacus"))


@pytest.mark.parametrize("missing", ["nncf", "openvino"])
def test_a_toolkit_that_is_not_installed_names_its_extra(missing, manifest, monkeypatch):
    ours = ("edgeblend.converters.quantize.", "edgeblend.converters.openvino.")
    for module in list(sys.modules):
        if module.partition(".")[0] == missing or (module.startswith(ours) and module != toolkits.__name__):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingPackageError, match=rf'needs {missing}.*pip install "edgeblend\[quantize\]"'):
        load_toolkit(RECIPE, manifest)


def test_a_format_that_it_does_not_take(manifest, monkeypatch):
    monkeypatch.setitem(toolkits.TOOLKITS, "fake", ToolkitEntry("fake_toolkit", "none"))
    monkeypatch.setitem(sys.modules, "fake_toolkit", msgspec.defstruct("Fake", [])())
    monkeypatch.setattr(type(sys.modules["fake_toolkit"]), "FORMATS", ("onnx",), raising=False)
    with pytest.raises(InputError, match="fake quantizes graphs of format onnx, the detector graph is"):
        load_toolkit(Recipe(name="mine", toolkit="fake"), manifest)


@pytest.mark.parametrize("error", [RuntimeError("no home\nat all"), ImportError("old"), KeyError("a")])
def test_a_toolkit_that_fails_while_it_is_imported(error, manifest, monkeypatch):
    def broken(name):
        raise error

    monkeypatch.setattr(third_party, "import_module", broken)
    with pytest.raises(EngineError, match=r"^what \S+nncf needs cannot be imported: \w+: .+$") as raised:
        load_toolkit(RECIPE, manifest)
    assert raised.value.__cause__ is error
