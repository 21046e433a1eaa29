"""What is typed: class names, or the file of them, and the options that ``run`` hands to an engine."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from random import Random

import msgspec
from tiny_model import TINY_YAML

from edgeblend.cli import build_parser
from edgeblend.errors import (
    BundleError,
    CheckpointError,
    ConfigError,
    EdgeBlendError,
    EngineError,
    InputError,
    OutputError,
)

from ..mutate_bytes import mutate_bytes
from ..mutate_values import TEXTS, text_like
from ..samples import BUNDLES, bundle_files, frame, manifest_of, write_bundle
from .kind import Kind, expect

_NAMES = "cup\nspoon\n# table\n\nan apple\nTasse groß\n"
_OPTIONS: dict[str, tuple[str, ...]] = {
    "--device": (
        "CPU",
        "cpu",
        "GPU",
        "AUTO",
        "AUTO:CPU",
        "HETERO:CPU",
        "MULTI:CPU,GPU",
        "BATCH:CPU",
        "CUDA",
        "NPU",
        ":",
    ),
    "--precision": ("f32", "bf16", "f16", "engine"),
    "--threads": ("1", "2", "0", "-1", "3000000000", "1.5", "9" * 30),
    "--score-threshold": ("0", "0.5", "1", "-1", "nan", "inf", "1e999"),
    "--paste": ("clipped", "unclipped"),
    "--backend": ("openvino", "onnxruntime", "tflite", "torch"),
    "--property": (
        *(
            "NUM_STREAMS=1",
            "NUM_STREAMS=AUTO",
            "PERFORMANCE_HINT=THROUGHPUT",
            "INFERENCE_NUM_THREADS=2",
            "LOG_LEVEL=x",
        ),
        *(
            "ENABLE_CPU_PINNING=YES",
            "SCHEDULING_CORE_TYPE=ANY_CORE",
            "KV_CACHE_PRECISION=u8",
            "PERF_COUNT=YES",
            "a=b=c",
        ),
        *(
            "session.intra_op.allow_spinning=0",
            "session.disable_prepacking=1",
            "mlas.enable_gemm_fastmath_arm64_bfloat16=1",
        ),
        *(
            "session.set_denormal_as_zero=1",
            "optimization.minimal_build_optimizations=x",
            "device_id=0",
            "interpreter=x",
        ),
        *("interpreter=ai_edge_litert", "=", "x", "=x", "x=", ""),
    ),
}


def _parse_and_run(argv: list[str]) -> None:
    """Run a command as the command line does, but let its errors through; usage is an error of the input."""
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as stop:
        if stop.code != 2:
            raise
        raise InputError("usage") from None
    args.command(args)


def _write_names(folder: Path) -> None:
    _write_with_config(folder, _NAMES.encode())


def _write_with_config(folder: Path, names: bytes) -> None:
    """Write names, and a config of as many classes as there are."""
    count = sum(bool(line.strip()) for line in names.decode("utf-8", "replace").splitlines())
    (folder / "config.yaml").write_text(TINY_YAML.replace("NUM_CLASSES: 3", f"NUM_CLASSES: {max(count, 1)}"))
    (folder / "classes.txt").write_bytes(names)


def _make_names(random: Random, folder: Path) -> None:
    data = mutate_bytes(_NAMES.encode(), random)
    if random.random() < 0.3:
        data = "\n".join(random.choice(TEXTS) for _ in range(4)).encode("utf-8", "surrogatepass")
    _write_with_config(folder, data)


def _run_names(folder: Path) -> None:
    """``convert``, which reads the names before it looks for the checkpoint that is not there."""
    config, names = str(folder / "config.yaml"), str(folder / "classes.txt")
    try:
        _parse_and_run(["convert", "none.pth", "--config", config, "--class-names", names, "--out", "out"])
    except CheckpointError:
        return
    expect(False, "a checkpoint that is not there was converted")


def _write_options(folder: Path) -> None:
    _write_bundle(folder, "tflite")
    (folder / "arguments.txt").write_text("--threads 1")


def _make_options(random: Random, folder: Path) -> None:
    _write_bundle(folder, random.choice(BUNDLES))
    arguments = []
    for _ in range(random.choice((1, 1, 2, 3))):
        option = random.choice(["--property", *_OPTIONS])
        value = random.choice(_OPTIONS[option])
        if random.random() < 0.3:
            value = text_like(value, random)
        arguments.append(f"{option}={value}")
    # What no system hands to a process: halves of surrogate pairs and zeros.
    text = shlex.join(arguments).encode("utf-8", "replace").replace(b"\0", b"")
    (folder / "arguments.txt").write_bytes(text)


def _write_bundle(folder: Path, name: str) -> None:
    contents = bundle_files(name)
    (folder / "bundle").mkdir()
    write_bundle(folder / "bundle", contents, msgspec.json.encode(manifest_of(name, contents)))
    height, width = frame().shape[:2]
    (folder / "frame.ppm").write_bytes(f"P6 {width} {height} 255\n".encode() + frame()[..., ::-1].tobytes())


def _run_options(folder: Path) -> None:
    arguments = shlex.split((folder / "arguments.txt").read_text())
    out = folder / "out"
    places = ["run", str(folder / "bundle"), str(folder / "frame.ppm"), "--out", str(out), "--no-overlays"]
    _parse_and_run([*places, *arguments])
    expect((out / "instances.json").is_file(), "nothing was written")
    shutil.rmtree(out)


_ALLOWED: tuple[type[EdgeBlendError], ...] = (BundleError, ConfigError, EngineError, InputError, OutputError)
KINDS = (
    Kind("class-names", _make_names, _run_names, _ALLOWED, _write_names, share=1.5),
    Kind("run-options", _make_options, _run_options, _ALLOWED, _write_options, share=2),
)
