import sys
from importlib.metadata import EntryPoint

import msgspec
import pytest
from bundle_factory import write_tiny_bundle

from edgeblend import engine_packages
from edgeblend.bundle import Bundle
from edgeblend.converters import third_party
from edgeblend.converters.quantize import toolkits
from edgeblend.converters.quantize.toolkits import (
    ENTRY_POINT_GROUP,
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
def formats(tmp_path):
    """Of the graphs of a bundle for OpenVINO."""
    manifest = Bundle.load(write_tiny_bundle(tmp_path / "tiny")).manifest
    return {part: graph.format for part, graph in manifest.graphs.items()}


def test_a_toolkit_that_nobody_knows(formats):
    with pytest.raises(InputError, match="recipe 'mine': unknown toolkit 'abacus'; known are nncf"):
        load_toolkit(Recipe(name="mine", toolkit="abacus"), "openvino", formats)


@pytest.mark.parametrize(
    ("target", "name", "form", "tools"),
    [
        ("openvino", "nncf", "openvino-ir", {"nncf"}),
        ("onnxruntime", "nncf-onnx", "onnx", {"nncf"}),
        ("tflite", "ai-edge-quantizer", "tflite", {"ai-edge-quantizer"}),
    ],
)
def test_a_toolkit_offers_everything(target, name, form, tools):
    recipe = Recipe(name="mine", bias_correction="none")
    toolkit, recipe = load_toolkit(recipe, target, {"detector": form, "basis": form})
    assert recipe.toolkit == name
    offered = {item for item in vars(Toolkit) if not item.startswith("_")} | set(Toolkit.__annotations__)
    assert {"quantize_model", "each_alone", "FORMATS"} <= offered
    assert offered <= set(dir(toolkit))
    assert set(toolkit.tool_versions()) >= tools


def test_every_toolkit_is_a_targets():
    assert set(TOOLKIT_OF_TARGET.values()) == set(TOOLKITS)


def test_a_target_that_nothing_quantizes(formats):
    with pytest.raises(InputError, match="nothing here quantizes bundles for 'abacus', only for openvino"):
        load_toolkit(RECIPE, "abacus", formats)


@pytest.mark.parametrize("missing", ["nncf", "openvino"])
def test_a_toolkit_that_is_not_installed_names_its_extra(missing, formats, monkeypatch):
    ours = ("edgeblend.converters.quantize.", "edgeblend.converters.openvino.")
    for module in list(sys.modules):
        if module.partition(".")[0] == missing or (module.startswith(ours) and module != toolkits.__name__):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingPackageError, match=rf'needs {missing}.*pip install "edgeblend\[quantize\]"'):
        load_toolkit(RECIPE, "openvino", formats)


def test_a_format_that_it_does_not_take(formats, monkeypatch):
    monkeypatch.setitem(toolkits.TOOLKITS, "fake", ToolkitEntry("fake_toolkit", "none"))
    monkeypatch.setitem(sys.modules, "fake_toolkit", msgspec.defstruct("Fake", [])())
    monkeypatch.setattr(type(sys.modules["fake_toolkit"]), "FORMATS", ("onnx",), raising=False)
    with pytest.raises(InputError, match="fake quantizes graphs of format onnx, the detector graph is"):
        load_toolkit(Recipe(name="mine", toolkit="fake"), "openvino", formats)


@pytest.mark.parametrize("error", [RuntimeError("no home\nat all"), ImportError("old"), KeyError("a")])
def test_a_toolkit_that_fails_while_it_is_imported(error, formats, monkeypatch):
    def broken(name):
        raise error

    monkeypatch.setattr(third_party, "import_module", broken)
    with pytest.raises(
        EngineError, match=r"^what \S+openvino\.toolkit needs cannot be imported: \w+: .+$"
    ) as raised:
        load_toolkit(RECIPE, "openvino", formats)
    assert raised.value.__cause__ is error


# Of other packages


class Abacus:
    """What another package would register."""

    FORMATS = ("beads",)
    check_recipe = staticmethod(lambda recipe: None)
    read_model = layer_names = float_layers = quantize_model = each_alone = layers_in_int8 = save_model = None
    tool_versions = staticmethod(lambda: {"abacus": "1"})


@pytest.fixture
def register(monkeypatch):
    def register(value, name="abacus", group=ENTRY_POINT_GROUP):
        entry = EntryPoint(name, value, group)
        monkeypatch.setattr(engine_packages, "entry_points", lambda group: [entry] * (group == entry.group))

    return register


BEADS = {"detector": "beads", "basis": "beads"}


def test_a_toolkit_of_another_package(register, monkeypatch):
    register("abacus_toolkit")
    monkeypatch.setitem(sys.modules, "abacus_toolkit", Abacus())
    toolkit, recipe = load_toolkit(Recipe(name="mine", toolkit="abacus"), "somewhere", BEADS)
    assert (toolkit.tool_versions(), recipe.toolkit) == ({"abacus": "1"}, "abacus")
    # One that is called like the target is the target's.
    assert load_toolkit(RECIPE, "abacus", BEADS)[1].toolkit == "abacus"
    with pytest.raises(InputError, match="nothing here quantizes bundles for 'somewhere'"):
        load_toolkit(RECIPE, "somewhere", BEADS)
    with pytest.raises(InputError, match="abacus quantizes graphs of format beads, the detector graph is"):
        load_toolkit(RECIPE, "abacus", {"detector": "onnx", "basis": "onnx"})


def test_our_own_toolkit_is_not_replaced(register):
    register("nobody_imports_it", "nncf")
    toolkit, _ = load_toolkit(RECIPE, "openvino", {"detector": "openvino-ir"})
    assert toolkit.__name__ == "edgeblend.converters.openvino.toolkit"


def test_nothing_is_imported_for_another_toolkit(register, formats):
    register("no_such_module")
    load_toolkit(RECIPE, "openvino", formats)
    with pytest.raises(InputError, match=r"unknown toolkit 'other'; known are nncf, .*, abacus$"):
        load_toolkit(Recipe(name="mine", toolkit="other"), "openvino", formats)


def test_a_toolkit_that_cannot_be_imported_is_named_with_its_package(register):
    register("no_such_module")
    with pytest.raises(
        EngineError,
        match=r"^toolkit 'abacus' \(no_such_module\): cannot be imported: ModuleNotFoundError: .*; mend or",
    ):
        load_toolkit(RECIPE, "abacus", BEADS)


def test_a_toolkit_that_lacks_something_says_what(register, monkeypatch):
    register("abacus_toolkit")
    monkeypatch.setattr(Abacus, "__getattribute__", without("save_model", "FORMATS"))
    monkeypatch.setitem(sys.modules, "abacus_toolkit", Abacus())
    with pytest.raises(
        EngineError, match=r"^toolkit 'abacus' \(abacus_toolkit\): has no FORMATS, save_model; "
    ):
        load_toolkit(RECIPE, "abacus", BEADS)


def without(*names):
    def get(self, name):
        if name in names:
            raise AttributeError(name)
        return object.__getattribute__(self, name)

    return get
