"""Who may import whom: read from the sources, of a checkout as well as of an installed package."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import edgeblend

LAYERS = (
    ("edgeblend.errors", "edgeblend.spec", "edgeblend.demo_data"),
    ("edgeblend.arguments",),
    ("edgeblend.files", "edgeblend.processes"),
    ("edgeblend.classes", "edgeblend.class_list", "edgeblend.engine_packages"),
    ("edgeblend.masks",),
    ("edgeblend.results", "edgeblend.recipe"),
    ("edgeblend.manifest", "edgeblend.manifest_checks", "edgeblend.manifest_schema"),
    ("edgeblend.zipped", "edgeblend.bundle"),
    ("edgeblend.runtime",),
    ("edgeblend.draw",),
    ("edgeblend.testing",),
    ("edgeblend.calibration",),
    ("edgeblend.converters",),
    ("edgeblend.training",),
    ("edgeblend.terminal",),
    ("edgeblend.report",),
    ("edgeblend.runs",),
    ("edgeblend.demo",),
    ("edgeblend.cli",),
)
"""Lowest first; a module may import its own layer and those below it."""

REPORTING = ("edgeblend.report", "edgeblend.runs", "edgeblend.demo", "edgeblend.cli")
"""What may ask for ``edgeblend.__version__`` and use the package by its public names."""

MODEL_MAY_IMPORT = (
    "edgeblend.errors",
    "edgeblend.spec",
    "edgeblend.model",
    "edgeblend.files.paths",
    "edgeblend.arguments.checks",
    "edgeblend.arguments.callbacks",
    "edgeblend.arguments.choices",
    "edgeblend.processes.third_party_warnings",
)

LATE = {"edgeblend.results.instances": "edgeblend.draw.overlay"}
"""What a module may import from a higher layer, within a function: ``instances.draw`` stands where people
look for it, though drawing needs what lies above the results. Nothing else of the results depends on it."""

OUTSIDE = {
    "torch": ("edgeblend.model", "edgeblend.converters", "edgeblend.training"),
    "yaml": ("edgeblend.model", "edgeblend.training"),
    "openvino": ("edgeblend.runtime.backends.openvino", "edgeblend.converters.openvino"),
    "nncf": ("edgeblend.converters.openvino", "edgeblend.converters.onnx", "edgeblend.converters.quantize"),
    "onnx": ("edgeblend.converters.onnx",),
    "onnxruntime": ("edgeblend.runtime.backends.onnxruntime", "edgeblend.converters.onnx"),
    "ai_edge_litert": ("edgeblend.runtime.backends.tflite", "edgeblend.converters.tflite"),
    "tflite_runtime": ("edgeblend.runtime.backends.tflite",),
    "litert_torch": ("edgeblend.converters.tflite.export",),
    "ai_edge_quantizer": ("edgeblend.converters.tflite",),
    "ethosu": ("edgeblend.converters.ethos_u",),
    "onnxscript": ("edgeblend.converters.onnx.export",),
    "pytest": ("edgeblend.testing",),
}
"""Packages that only these modules may import, wherever in them; others may not at all."""

EXTRAS = {"supervision", "faster_coco_eval"}
"""What the layers below the converters may import from elsewhere, but only within a function."""

RUNTIME_NEEDS = {"numpy", "cv2", "msgspec", "safetensors", "tqdm", *EXTRAS}
"""What the layers below the converters may import from elsewhere."""


@dataclass(frozen=True, slots=True)
class Import:
    """One import, or a name given to import_module."""

    name: str
    where: str
    """``module``, ``function``, or ``typing`` for what only type checkers see."""


def imports_of(source: str) -> Iterator[Import]:
    """Yield everything that a module imports from other packages and from this one, by absolute name."""
    yield from _visit(ast.parse(source).body, "module")


def _visit(nodes: list[ast.stmt], where: str) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, where) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            # Each name could be a module: `from edgeblend.cli import run`.
            yield from (Import(f"{node.module}.{alias.name}", where) for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _visit(node.body, "function")
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _visit(node.body, "typing")
            yield from _visit(node.orelse, where)
        else:
            children = [
                child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node
            ]
            direct = [child for child in children if _parent_of(node, child)]
            yield from _visit(direct, where)


def _parent_of(node: ast.stmt, child: ast.stmt) -> bool:
    """Whether no other statement lies between the two (an except clause or a match case may)."""
    for inner in ast.iter_child_nodes(node):
        if inner is child:
            return True
        if not isinstance(inner, ast.stmt) and any(part is child for part in ast.iter_child_nodes(inner)):
            return True
    return False


def violations(module: str, source: str) -> list[str]:
    """Return what a module must not import."""
    found = []
    for item in imports_of(source):
        package = item.name.partition(".")[0]
        if package == "edgeblend":
            allowed = item.where == "typing" or _may_import(module, item)
        elif package in OUTSIDE:
            allowed = _within(module, OUTSIDE[package])
        else:
            allowed = True
        if not allowed:
            found.append(f"{module} imports {item.name} ({item.where})")
    return found


def _may_import(module: str, item: Import) -> bool:
    if module == "edgeblend":  # its names are lazy: see test_import.py
        return _within(item.name, LAYERS[0][:1]) or item.where == "function"
    if _within(module, ("edgeblend.model",)):
        return _within(item.name, MODEL_MAY_IMPORT)
    if _within(item.name, ("edgeblend.model",)):
        lazily = _within(module, ("edgeblend.cli", "edgeblend.demo")) and item.where == "function"
        return lazily or _within(module, ("edgeblend.converters", "edgeblend.training"))
    wanted = _layer(item.name)
    if wanted is None:  # `edgeblend.__version__`, or the lazy names
        return _within(module, REPORTING)
    own = _layer(module)
    late = item.where == "function" and module in LATE and _within(item.name, (LATE[module],))
    return late or (own is not None and wanted <= own)


def _layer(module: str) -> int | None:
    return next((index for index, layer in enumerate(LAYERS) if _within(module, layer)), None)


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


PARTS = (
    "edgeblend",
    "edgeblend.runtime",
    "edgeblend.calibration",
    "edgeblend.converters",
    "edgeblend.demo_data",
)
"""Packages with a folder of their own: in a checkout they do not lie within each other."""


def module_names() -> list[str]:
    found = set(PARTS)
    for part in PARTS:
        path = importlib.import_module(part).__path__
        found |= {info.name for info in pkgutil.walk_packages(path, f"{part}.")}
    return sorted(found)


def source_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, module
    return Path(spec.origin).read_text(encoding="utf-8")


def test_every_part_is_found():
    names = module_names()
    for name in ("edgeblend.cli.run", "edgeblend.runtime.segmenter", "edgeblend.runtime.backends.openvino"):
        assert name in names
    for name in (
        "edgeblend.converters.convert",
        "edgeblend.calibration.evaluation.agreement",
        "edgeblend.model.fcos",
    ):
        assert name in names
    for name in names:
        assert name == "edgeblend" or _within(name, ("edgeblend.model",)) or _layer(name) is not None, name


@pytest.mark.parametrize("module", module_names())
def test_imports_point_downwards(module):
    assert violations(module, source_of(module)) == []


def test_below_the_converters_only_the_runtimes_dependencies():
    import sys

    for module in module_names():
        layer = _layer(module)
        if layer is not None and layer < LAYERS.index(("edgeblend.converters",)):
            for item in imports_of(source_of(module)):
                package = item.name.partition(".")[0]
                known = package in sys.stdlib_module_names or package in {"edgeblend", *RUNTIME_NEEDS}
                known = known or _within(module, OUTSIDE.get(package, ()))
                assert known, f"{module} imports {item.name}"
                assert package not in EXTRAS or item.where != "module"


@pytest.mark.parametrize(
    ("module", "source", "count"),
    [
        ("edgeblend.runtime.new", "from edgeblend.converters.split import SplitGraph", 1),
        ("edgeblend.runtime.new", "from edgeblend import converters", 1),
        ("edgeblend.runtime.new", "def f():\n    import edgeblend.cli", 1),
        ("edgeblend.runtime.new", "import edgeblend.bundle, edgeblend.runtime.nms", 0),
        ("edgeblend.spec", "from edgeblend.runtime.nms import nms", 1),
        ("edgeblend.results.instances", "def f():\n    from edgeblend.draw.overlay import draw", 0),
        ("edgeblend.results.instances", "from edgeblend.draw.overlay import draw", 1),
        ("edgeblend.results.instances", "def f():\n    from edgeblend.draw.video import VideoFile", 1),
        ("edgeblend.results.instance", "def f():\n    from edgeblend.draw.overlay import draw", 1),
        ("edgeblend.results", "if TYPE_CHECKING:\n    from edgeblend.runtime.nms import nms", 0),
        ("edgeblend.results", "if TYPE_CHECKING:\n    pass\nelse:\n    import edgeblend.runtime.nms", 1),
        ("edgeblend.calibration.new", "from edgeblend.model.config import load_config", 1),
        ("edgeblend.converters.new", "from edgeblend.model.config import load_config", 0),
        ("edgeblend.cli.new", "from edgeblend.model.config import load_config", 1),
        ("edgeblend.cli.new", "def f():\n    from edgeblend.model.config import load_config", 0),
        ("edgeblend.model.new", "from edgeblend.manifest import Manifest", 1),
        ("edgeblend.model.new", "import torch, yaml\nfrom edgeblend.spec import DecodeSpec", 0),
        ("edgeblend.runtime.new", "try:\n    import torch\nexcept ImportError:\n    import openvino", 2),
        (
            "edgeblend.runtime.new",
            "class A:\n    def f(self):\n        with x:\n            from torch import nn",
            1,
        ),
        ("edgeblend.runtime.new", "match x:\n    case 1:\n        import torch.nn", 1),
        ("edgeblend.runtime.backends.openvino", "import openvino as ov", 0),
        ("edgeblend.cli.doctor", "def f():\n    import openvino", 1),
        ("edgeblend", "from edgeblend.runtime.segmenter import Segmenter", 1),
        ("edgeblend.unknown", "from edgeblend.runtime.nms import nms", 1),
    ],
)
def test_the_checker_finds_what_it_should(module, source, count):
    assert len(violations(module, source)) == count


def checkout() -> Path:
    """The folder of the checkout that the package is imported from."""
    root = Path(edgeblend.__file__).parents[1]
    if not (root / "pyproject.toml").is_file():
        pytest.skip("an installed package, without its checkout")
    return root


def test_the_packages_are_all_listed():
    root = checkout()
    setup = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    listed = set(setup["packages"])
    folders = {name: root / folder for name, folder in setup["package-dir"].items()}
    found = {
        ".".join((name, *init.parent.relative_to(folder).parts))
        for name, folder in folders.items()
        for init in folder.rglob("__init__.py")
    }
    assert found == listed
    sources = {source.parent for folder in folders.values() for source in folder.rglob("*.py")}
    assert [str(folder) for folder in sources if not (folder / "__init__.py").is_file()] == []
