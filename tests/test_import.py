"""Importing is quick and light: no torch and no engine until they are used."""

import json
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

import edgeblend

HEAVY = ("torch", "openvino", "nncf", "onnxruntime", "tensorflow", "tensorrt", "supervision", "yaml")

PROBE = """\
import sys, time
start = time.perf_counter()
{code}
took = time.perf_counter() - start
import json
print(json.dumps({{"took": took, "modules": sorted(sys.modules)}}))
"""


def probe(code):
    """Run code in a new process; return its seconds and the modules that are loaded then."""
    command = [sys.executable, "-c", PROBE.format(code=code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def loaded(code, names):
    return sorted({module.partition(".")[0] for module in probe(code)["modules"]} & set(names))


def test_the_probe_sees_what_is_loaded():
    assert loaded("import yaml", HEAVY) == ["yaml"]


def test_importing_loads_nothing_heavy():
    assert loaded("import edgeblend, edgeblend.runtime", (*HEAVY, "cv2", "numpy")) == []


def test_importing_is_quick():
    assert min(probe("import edgeblend, edgeblend.runtime")["took"] for _ in range(5)) < 0.3


def test_only_conversion_and_training_load_torch_or_an_engine():
    heavy = ("convert", "convert_for_ethos_u", "lint_for_npu", "train")
    names = [name for name in edgeblend.__all__ if name not in heavy]
    assert {"Segmenter", "TrainingOptions"} < set(names)
    code = f"import edgeblend\nfor name in {names}: getattr(edgeblend, name)"
    assert loaded(code, HEAVY) == []
    assert loaded(code, ["cv2"]) == ["cv2"]


def test_training_loads_no_engine():
    assert loaded("import edgeblend\nedgeblend.train", HEAVY) == ["torch", "yaml"]


@pytest.mark.parametrize(
    ("name", "missing", "words", "extra"),
    [
        ("convert", "torch", "converting needs torch", "convert"),
        ("train", "torch", "training needs torch", "train"),
        ("train", "yaml", "training needs yaml", "train"),
        ("convert_for_ethos_u", "ethosu", "compiling for an Ethos-U needs ethosu", "ethos-u"),
        ("lint_for_npu", "openvino", "looking through OpenVINO graphs needs openvino", "openvino"),
    ],
)
def test_what_a_name_needs_is_said(name, missing, words, extra):
    code = f"""
import sys
sys.modules[{missing!r}] = None
import edgeblend
try:
    edgeblend.{name}
except edgeblend.MissingPackageError as error:
    assert (error.name, error.extra) == ({missing!r}, {extra!r})
    assert str(error).startswith({words!r}) and "edgeblend[{extra}]" in str(error), error
else:
    raise AssertionError
"""
    assert missing in probe(code)["modules"]


def test_the_runtimes_modules_load_no_torch_and_no_engine():
    code = """
import edgeblend.runtime, pkgutil, importlib
for module in pkgutil.walk_packages(edgeblend.runtime.__path__, "edgeblend.runtime."):
    if module.name.rpartition(".")[2] not in ("openvino", "onnxruntime", "tflite"):
        importlib.import_module(module.name)
"""
    assert loaded(code, HEAVY) == []


def test_the_command_line_loads_nothing_heavy():
    assert loaded("import edgeblend.cli; edgeblend.cli.build_parser()", (*HEAVY, "cv2", "numpy")) == []


def test_help_is_quick():
    script = Path(sysconfig.get_path("scripts")) / "edgeblend"
    if not script.is_file():
        pytest.skip("the package is not installed with its command")
    times = []
    for _ in range(5):
        start = time.perf_counter()
        done = subprocess.run([str(script), "--help"], capture_output=True, timeout=60)
        times.append(time.perf_counter() - start)
        assert done.returncode == 0
    assert min(times) < 0.5


def test_public_names_are_listed_and_there():
    assert set(edgeblend.__all__) <= set(dir(edgeblend))
    assert sorted(edgeblend.__all__) == list(edgeblend.__all__)
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        edgeblend.segment  # noqa: B018 - looking it up is the test
    for name in edgeblend.runtime.__all__:
        assert getattr(edgeblend.runtime, name)
