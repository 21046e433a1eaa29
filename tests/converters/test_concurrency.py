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
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jobs import QUICK, Jobs, found_in
from tiny_model import CLASS_NAMES, TinyModel

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.converters import third_party as third_party_module
from edgeblend.converters.third_party import third_party
from edgeblend.processes.one_at_a_time import one_at_a_time

TARGETS = ("openvino", "onnxruntime", "tflite")


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


@pytest.fixture(scope="module")
def given(
    tiny_model: TinyModel,
    tiny_on: Callable[[str], Bundle],
    tiny_int8_on: Callable[[str], Bundle],
    calibration_pictures: Path,
    labelled_pictures: Path,
) -> Callable[[str], Jobs]:
    """A function from target to the jobs, without a cache."""

    def jobs(target: str) -> Jobs:
        converted, quantized = tiny_on(target), tiny_int8_on(target)
        return Jobs(tiny_model, converted, quantized, calibration_pictures, labelled_pictures, cache=None)

    return jobs


@pytest.fixture(scope="module")
def alone(
    given: Callable[[str], Jobs], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, object]]:
    """A function from target to what each job gives that is the only one.

    Made here: what other tests have made may come from a process that was in another state.
    """

    @cache
    def results(target: str) -> dict[str, object]:
        folder = tmp_path_factory.mktemp("alone")
        names = ("convert", "quantize", "run", "compare")
        return {name: getattr(given(target), name)(folder / name) for name in names}

    return results


LINES = (("convert",), ("quantize",), ("run", "convert"), ("compare", "quantize"))
"""What each of four threads does: all four things at once, then two that another one may still do."""


@pytest.mark.parametrize("target", TARGETS)
def test_threads_give_what_one_gives(target, given, alone, photograph, tmp_path, monkeypatch):
    jobs = replace(given(target), cache=tmp_path / "cache")
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    mine = logging.getLogger("edgeblend.tests.mine")
    mine.addHandler(handler)
    before = process_state()
    wanted = alone(target)
    with edgeblend.Segmenter.load(jobs.quantized) as segmenter:
        expected = found_in(segmenter, [photograph])
    start = threading.Barrier(len(LINES) + 1, timeout=60)

    def work(line: tuple[str, ...], folder: Path) -> list[object]:
        start.wait()
        return [getattr(jobs, name)(folder / name) for name in line]

    with entries_counted(monkeypatch) as entries, ThreadPoolExecutor(len(LINES)) as pool:
        lines = {pool.submit(work, line, tmp_path / str(n)): line for n, line in enumerate(LINES)}
        start.wait()
        frames = 0
        # Loaded at the same time as that of the thread that runs: both fill the empty cache.
        with edgeblend.Segmenter.load(jobs.quantized, cache_dir=jobs.cache) as segmenter:
            while frames == 0 or not all(line.done() for line in lines):
                assert found_in(segmenter, [photograph]) == expected
                assert (sys.stdout, sys.stderr) == before["streams"][:2]
                mine.warning("%d", frames)
                frames += 1
                wait(lines, timeout=1)  # leaves them the processor
        for done, line in lines.items():
            assert done.result() == [wanted[name] for name in line]
    mine.removeHandler(handler)
    assert seen == [str(number) for number in range(frames)]
    assert set(entries) == {1}
    assert_kept(jobs.cache, target)
    before["loggers"][mine.name] = (*before["loggers"][mine.name][:3], [], [])
    assert_as_before(before)


def assert_kept(cache: Path, target: str) -> None:
    """The cache holds each graph once, and nothing where an engine compiles nothing that it could keep."""
    kept = sorted(path.suffix for path in cache.iterdir()) if cache.exists() else []
    assert kept == ([".blob", ".blob", ".lock"] if target == "openvino" else [])


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
        "edgeblend.converters.quantize.nncf_pipeline",
        "create_ptq_pipeline",
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


PROCESSES = {"one": "convert", "two": "quantize", "three": "run", "four": "compare", "five": "run"}
"""What each of them does; two fill the same empty cache at once."""

PROCESS = """
import json, sys
from pathlib import Path
from tiny_model import TinyModel
from edgeblend.bundle import Bundle
from jobs import Jobs
job, out = sys.argv[1], Path(sys.argv[2])
given = {name: Path(path) for name, path in json.loads(sys.argv[3]).items()}
tiny = TinyModel(given.pop("config"), given.pop("checkpoint"), {})
float_, int8 = Bundle.load(given.pop("float")), Bundle.load(given.pop("int8"))
jobs = Jobs(tiny, float_, int8, **given)
print("ready", flush=True)
sys.stdin.readline()
print("said", repr(getattr(jobs, job)(out)))
"""


@pytest.mark.parametrize("target", TARGETS)
def test_processes_give_what_one_gives(target, given, alone, tmp_path):
    jobs, cache = given(target), tmp_path / "cache"
    paths = {
        "config": jobs.tiny.config,
        "checkpoint": jobs.tiny.checkpoint,
        "float": jobs.converted.path,
        "int8": jobs.quantized.path,
        "calibration": jobs.calibration,
        "labelled": jobs.labelled,
        "cache": cache,
    }
    arguments = json.dumps({name: str(path) for name, path in paths.items()})
    with ExitStack() as stack:
        processes = {}
        for name, job in PROCESSES.items():
            command = [sys.executable, "-P", "-c", PROCESS, job, str(tmp_path / name), arguments]
            stderr = stack.enter_context((tmp_path / f"{name}.txt").open("w"))
            process = subprocess.Popen(command, env=environment(cache), **PIPES, stderr=stderr)
            processes[name] = stack.enter_context(process)
        for name, process in processes.items():
            assert process.stdout.readline() == "ready\n", (tmp_path / f"{name}.txt").read_text()
        for process in processes.values():
            process.stdin.write("start\n")
            process.stdin.flush()
        for name, process in processes.items():
            said = process.stdout.read()
            assert process.wait() == 0, (tmp_path / f"{name}.txt").read_text()
            assert said == f"said {alone(target)[PROCESSES[name]]!r}\n", name
    assert_kept(cache, target)


PIPES: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


def environment(cache: Path) -> dict[str, str]:
    """Return that of a process: what third parties keep for the next time goes into the same folder."""
    here = Path(__file__).parent
    path = os.pathsep.join(map(str, (here, here.parent)))
    return {**os.environ, "HOME": str(cache), "XDG_CACHE_HOME": str(cache), "PYTHONPATH": path}
