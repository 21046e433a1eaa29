"""Threads and processes that convert, quantize, run and compare at once: all as if each were alone."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import CLASS_NAMES

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.converters import third_party as third_party_module
from edgeblend.converters.third_party import third_party
from edgeblend.processes.one_at_a_time import one_at_a_time

TARGETS = ("openvino", "onnxruntime", "tflite")
QUICK = edgeblend.Recipe(name="quick", bias_correction="none")


def process_state() -> dict[str, Any]:
    """Return what a conversion could leave behind."""
    import torch

    loggers = {"": logging.root, **logging.root.manager.loggerDict}
    return {
        "streams": (sys.stdout, sys.stderr, sys.stdout.closed, sys.stderr.closed),
        "stderr": os.fstat(2).st_ino,
        "logging": (logging.root.manager.disable, logging.getLoggerClass()),
        "loggers": {
            name: (logger.level, logger.propagate, logger.disabled, [*logger.handlers], [*logger.filters])
            for name, logger in loggers.items()
            if isinstance(logger, logging.Logger)
        },
        "warnings": ([*warnings.filters], warnings.showwarning),
        "environment": dict(os.environ),
        "torch": (torch.is_grad_enabled(), torch.get_num_threads(), torch.backends.mkldnn.enabled),
        "torch's modules": (torch.nn.Module.__call__, torch.nn.Module.__getattr__),
        **_patched_by_us(),
    }


def _patched_by_us() -> dict[str, Any]:
    found = {}
    for name, attribute in (
        ("nncf.onnx.engine", "ONNXEngine.__init__"),
        ("nncf.quantization.algorithms.bias_correction.algorithm", "BiasCorrection._prepare_subgraph"),
        ("nncf.common.logging.track_progress", "Progress"),
        ("openvino.tools.ovc.convert_impl", "init_logger"),
        ("ai_edge_quantizer.utils.progress_utils", "ProgressBar"),
        ("ai_edge_quantizer.model_modifier", "logging"),
        ("litert_torch.progress", "console.quiet"),
        ("litert_torch.fx_infra", "silence_torch_logs"),
    ):
        if name in sys.modules:
            value: Any = sys.modules[name]
            for part in attribute.split("."):
                value = getattr(value, part)
            found[f"{name}.{attribute}"] = value
    return found


def assert_as_before(before: dict[str, Any]) -> None:
    after = process_state()
    new = set(after["loggers"]) - set(before["loggers"])  # those of modules that came by meanwhile
    after["loggers"] = {name: kept for name, kept in after["loggers"].items() if name not in new}
    for key, value in before.items():
        assert after[key] == value, key


def content(bundle: Bundle) -> Any:  # noqa: ANN401
    """Return what must not differ: the files by their digests, and what verification measured."""
    manifest = bundle.manifest
    return {file.name: file.sha256 for file in manifest.files}, manifest.verification


@contextlib.contextmanager
def entries_counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count how many threads are within calls of third parties at once, at each entry."""
    inside, found = set(), []
    enter = third_party_module.as_conversion_error

    @contextlib.contextmanager
    def probe(*given: Any, **options: Any) -> Iterator[None]:
        thread = threading.get_ident()
        inside.add(thread)
        found.append(len(inside))
        try:
            with enter(*given, **options):
                yield
        finally:
            inside.discard(thread)

    with monkeypatch.context() as patch:
        patch.setattr(third_party_module, "as_conversion_error", probe)
        yield found


@pytest.mark.parametrize("target", TARGETS)
def test_threads_give_what_one_gives(
    target, tiny_model, tiny_on, tiny_int8_on, calibration_pictures, photograph, tmp_path, monkeypatch
):
    converted, quantized = tiny_on(target), tiny_int8_on(target)
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    mine = logging.getLogger("edgeblend.tests.mine")
    mine.addHandler(handler)
    before = process_state()

    def convert(out: Path) -> Bundle:
        return edgeblend.convert(
            tiny_model.checkpoint, out, config=tiny_model.config, class_names=CLASS_NAMES, target=target
        )

    def quantize(out: Path) -> Bundle:
        return edgeblend.quantize(converted, out, calibration=calibration_pictures, recipe=QUICK)

    # Made here: those of other tests may come from a process that was in another state.
    alone = convert(tmp_path / "converted"), quantize(tmp_path / "quantized")
    with (
        entries_counted(monkeypatch) as entries,
        ThreadPoolExecutor(4) as pool,
        edgeblend.Segmenter.load(quantized) as segmenter,
    ):
        expected = segmenter(photograph)
        jobs = {
            pool.submit(job, tmp_path / name): wanted
            for name, job, wanted in (
                ("a", convert, alone[0]),
                ("b", quantize, alone[1]),
                ("c", convert, alone[0]),
                ("d", quantize, alone[1]),
            )
        }
        frames = 0
        while frames == 0 or not all(job.done() for job in jobs):
            found = segmenter(photograph)
            assert np.array_equal(found.boxes, expected.boxes)
            assert np.array_equal(found.mask_probs, expected.mask_probs)
            assert (sys.stdout, sys.stderr) == before["streams"][:2]
            mine.warning("%d", frames)
            frames += 1
            wait(jobs, timeout=1)  # leaves them the processor
        for job, wanted in jobs.items():
            assert content(job.result()) == content(wanted)
    mine.removeHandler(handler)
    assert seen == [str(number) for number in range(frames)]
    assert set(entries) == {1}
    before["loggers"][mine.name] = (*before["loggers"][mine.name][:3], [], [])
    assert_as_before(before)


@pytest.mark.parametrize("locked", [True, False])
def test_without_the_lock_threads_are_inside_at_once(locked, monkeypatch):
    """The negative control of what counts entries."""
    together = threading.Barrier(1 if locked else 2, timeout=60)
    if not locked:
        monkeypatch.setattr(third_party_module, "one_at_a_time", contextlib.nullcontext)

    def enter() -> None:
        with third_party("nothing"):
            together.wait()

    with entries_counted(monkeypatch) as entries, ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(enter) for _ in range(2)]:
            job.result()
    assert sorted(entries) == ([1, 1] if locked else [1, 2])


class Reached(Exception):
    """Raised in the place of a third party's work."""


def held_by_another() -> bool:
    """Return whether this thread holds the lock: another one, asked now, does not get it."""
    from edgeblend.processes import one_at_a_time as module

    with ThreadPoolExecutor(1) as pool:
        free = pool.submit(module._lock.acquire, blocking=False).result()
        if free:
            pool.submit(module._lock.release).result()
    return not free


@pytest.fixture
def reached(monkeypatch):
    """A function that puts a probe in a third party's place: it notes whether the lock is held; raises."""
    noted: list[bool] = []

    def put(owner: object, name: str) -> list[bool]:
        def probe(*given: Any, **options: Any) -> None:
            noted.append(held_by_another())
            raise Reached("never mind")

        monkeypatch.setattr(owner, name, probe)
        return noted

    return put


def _convert(target: str) -> Callable[[Any, Path], object]:
    def convert(fixtures: Any, out: Path) -> object:  # noqa: ANN401
        tiny = fixtures("tiny_model")
        return edgeblend.convert(
            tiny.checkpoint, out, config=tiny.config, class_names=CLASS_NAMES, target=target
        )

    return convert


def _quantize(fixture: str, **options: Any) -> Callable[[Any, Path], object]:
    def quantize(fixtures: Any, out: Path) -> object:  # noqa: ANN401
        bundle = fixtures("tiny_on")("tflite") if fixture == "tflite" else fixtures(fixture)
        return edgeblend.quantize(bundle, out, calibration=fixtures("small_pictures"), **options)

    return quantize


CALLS = {
    "openvino": ("openvino", "convert_model", _convert("openvino")),
    "onnx": ("torch.onnx", "export", _convert("onnxruntime")),
    "litert": ("litert_torch", "convert", _convert("tflite")),
    "nncf": ("edgeblend.converters.quantize.nncf_pipeline", "create_ptq_pipeline", _quantize("small_bundle")),
    "nncf search": (
        "nncf.quantization.algorithms.accuracy_control.algorithm",
        "QuantizationAccuracyRestorer.apply",
        _quantize("small_bundle", max_drop=1.0),
    ),
    "ai edge": ("ai_edge_quantizer.quantizer", "Quantizer", _quantize("tflite", recipe=QUICK)),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_third_party_is_called_with_the_lock_and_its_error_becomes_ours(call, reached, tmp_path, request):
    module, name, work = CALLS[call]
    owner: Any = pytest.importorskip(module)
    *parts, attribute = name.split(".")
    for part in parts:
        owner = getattr(owner, part)
    work_on = request.getfixturevalue
    if "search" not in call:
        work_on("tiny_model" if work.__name__ == "convert" else "small_pictures")
    if call == "ai edge":
        work_on("tiny_on")("tflite")
    noted = reached(owner, attribute)
    before = process_state()
    with pytest.raises(edgeblend.ConversionError, match="never mind$") as raised:
        work(work_on, tmp_path / "out")
    assert noted == [True]
    assert isinstance(raised.value.__cause__, Reached)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    assert_as_before(before)


def test_the_probe_sees_that_nobody_holds_the_lock():
    """The negative control of the probe."""
    assert not held_by_another()
    with one_at_a_time():
        assert held_by_another()


JOBS = {
    "convert": """
options = {"config": given["config"], "class_names": given["names"], "target": given["target"]}
made = edgeblend.convert(given["checkpoint"], given["out"], **options)
said = made.manifest.target
""",
    "quantize": """
recipe = edgeblend.Recipe(name="quick", bias_correction="none")
made = edgeblend.quantize(given["float"], given["out"], calibration=given["pictures"], recipe=recipe)
said = made.manifest.target
""",
    "run": """
with edgeblend.Segmenter.load(given["int8"], cache_dir=given["cache"]) as segmenter:
    said = [segmenter(edgeblend.read_image(path)).scores.tolist() for path in given["files"]]
""",
    "compare": """
report = edgeblend.compare(given["float"], [given["int8"]], given["pictures"], disagreements=0)
said = [[candidate.reason, candidate.agreement is not None] for candidate in report.candidates]
""",
}
"""What each process does, with what it is given, and says."""


@pytest.mark.parametrize("target", TARGETS)
def test_processes_give_what_one_gives(
    target, tiny_model, tiny_on, tiny_int8_on, calibration_pictures, tmp_path
):
    converted, quantized = tiny_on(target), tiny_int8_on(target)
    files = sorted(calibration_pictures.iterdir())
    given = {
        "checkpoint": str(tiny_model.checkpoint),
        "config": str(tiny_model.config),
        "names": CLASS_NAMES,
        "target": target,
        "float": str(converted.path),
        "int8": str(quantized.path),
        "pictures": str(calibration_pictures),
        "files": [str(path) for path in files],
        "cache": str(tmp_path / "cache") if target == "openvino" else None,
    }
    processes = {}
    for name, job in JOBS.items():
        arguments = json.dumps({**given, "out": str(tmp_path / name)})
        source = f"import edgeblend, json, sys\ngiven = json.loads(sys.argv[1])\n{job}\n"
        source += "print('said', json.dumps(said))"
        processes[name] = subprocess.Popen(
            [sys.executable, "-P", "-c", source, arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    said = {}
    for name, process in processes.items():
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert out.startswith("said "), out
        said[name] = json.loads(out.removeprefix("said "))
    with edgeblend.Segmenter.load(quantized) as segmenter:
        scores = [segmenter(edgeblend.read_image(path)).scores.tolist() for path in files]
    assert said == {
        "convert": target,
        "quantize": target,
        "run": scores,
        "compare": [[None, True]],
    }
    assert content(Bundle.load(tmp_path / "convert")) == content(converted)
    assert content(Bundle.load(tmp_path / "quantize")) == content(quantized)
