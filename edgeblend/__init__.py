"""edgeblend: BlendMask instance segmentation on edge devices.

Everything public is here by name and loaded when it is first used: importing the package loads
neither torch nor an engine.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from edgeblend.errors import (
    AccuracyError,
    BundleError,
    CheckpointError,
    ConfigError,
    ConversionError,
    EdgeBlendError,
    EngineError,
    InputError,
    MissingPackageError,
    OutputError,
    TrainingError,
)

if TYPE_CHECKING:
    from edgeblend.bundle import Bundle
    from edgeblend.calibration.bench.bench import bench
    from edgeblend.calibration.bench.report import BenchReport
    from edgeblend.calibration.evaluation.compare import compare
    from edgeblend.calibration.evaluation.evaluate import EvaluationReport, evaluate
    from edgeblend.calibration.measuring.setups import Setup
    from edgeblend.converters.convert import convert
    from edgeblend.converters.ethos_u.convert import convert_for_ethos_u
    from edgeblend.converters.openvino.npu_lint import lint_for_npu
    from edgeblend.converters.quantize.quantize import quantize
    from edgeblend.converters.quantize.sensitivity import measure_sensitivity
    from edgeblend.recipe import Recipe
    from edgeblend.results import Instance, Instances
    from edgeblend.runtime.images import read_image
    from edgeblend.runtime.segmenter import Segmenter
    from edgeblend.training.options import Augmentation, TrainingOptions
    from edgeblend.training.run import train

__all__ = [
    "AccuracyError",
    "Augmentation",
    "BenchReport",
    "Bundle",
    "BundleError",
    "CheckpointError",
    "ConfigError",
    "ConversionError",
    "EdgeBlendError",
    "EngineError",
    "EvaluationReport",
    "InputError",
    "Instance",
    "Instances",
    "MissingPackageError",
    "OutputError",
    "Recipe",
    "Segmenter",
    "Setup",
    "TrainingError",
    "TrainingOptions",
    "__version__",
    "bench",
    "compare",
    "convert",
    "convert_for_ethos_u",
    "evaluate",
    "lint_for_npu",
    "measure_sensitivity",
    "quantize",
    "read_image",
    "train",
]

try:
    __version__ = version("edgeblend")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

_LAZY = {
    "Augmentation": "edgeblend.training.options",
    "BenchReport": "edgeblend.calibration.bench.report",
    "Bundle": "edgeblend.bundle",
    "EvaluationReport": "edgeblend.calibration.evaluation.evaluate",
    "Instance": "edgeblend.results",
    "Instances": "edgeblend.results",
    "Recipe": "edgeblend.recipe",
    "Segmenter": "edgeblend.runtime.segmenter",
    "Setup": "edgeblend.calibration.measuring.setups",
    "TrainingOptions": "edgeblend.training.options",
    "bench": "edgeblend.calibration.bench.bench",
    "compare": "edgeblend.calibration.evaluation.compare",
    "convert": "edgeblend.converters.convert",
    "convert_for_ethos_u": "edgeblend.converters.ethos_u.convert",
    "evaluate": "edgeblend.calibration.evaluation.evaluate",
    "lint_for_npu": "edgeblend.converters.openvino.npu_lint",
    "measure_sensitivity": "edgeblend.converters.quantize.sensitivity",
    "quantize": "edgeblend.converters.quantize.quantize",
    "read_image": "edgeblend.runtime.images",
    "train": "edgeblend.training.run",
}
_NEEDS = {
    "convert": ("converting", ("torch", "yaml", "openvino"), "convert"),
    "convert_for_ethos_u": ("compiling for an Ethos-U", ("ethosu", "ai_edge_litert"), "ethos-u"),
    "lint_for_npu": ("looking through OpenVINO graphs", ("openvino",), "openvino"),
    "train": ("training", ("torch", "yaml"), "train"),
}
"""What a name is for, the packages that its module imports, and the extra that has them."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute can be anything
    if name not in _LAZY:
        raise AttributeError(f"module 'edgeblend' has no attribute {name!r}")
    from edgeblend.processes.third_party_warnings import warnings_are_no_errors

    try:
        with warnings_are_no_errors():
            value = getattr(import_module(_LAZY[name]), name)
    except ModuleNotFoundError as error:
        doing, packages, extra = _NEEDS.get(name, ("", (), ""))
        missing = (error.name or "").partition(".")[0]
        if missing not in packages:
            raise
        raise MissingPackageError.for_task(doing, missing, extra=extra) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
