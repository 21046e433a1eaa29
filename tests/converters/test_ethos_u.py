"""Vela on graphs of two layers: what it places where, what is said of it, and what is refused."""

from __future__ import annotations

import dataclasses
import errno
import math
import subprocess
import tempfile
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("ethosu.vela")
pytest.importorskip("ai_edge_litert")

from bundle_factory import HEAD_ROLES, make_manifest, make_quantization, tensor
from tflite_factory import write_two_convs

from edgeblend.bundle import Bundle, describe_file, stage_bundle
from edgeblend.converters.ethos_u import vela
from edgeblend.converters.ethos_u.convert import convert_for_ethos_u
from edgeblend.converters.ethos_u.vela import VelaOptions, accelerators, compile_tflite
from edgeblend.converters.ethos_u.vela_report import graph_report
from edgeblend.converters.tflite.operators import read_tflite
from edgeblend.errors import ConversionError, InputError, OutputError
from edgeblend.manifest import (
    MANIFEST_NAME,
    AttentionSpec,
    GraphSpec,
    Manifest,
    TensorQuantization,
    TensorSpec,
    encode_manifest,
)

FIRST, SECOND = 2048, 36864
"""MACs of the two layers."""


def in_int8(*specs: TensorSpec) -> tuple[TensorSpec, ...]:
    quantization = TensorQuantization(scale=0.5, zero_point=0)
    return tuple(
        msgspec.structs.replace(spec, layout="NHWC", dtype="int8", quantization=quantization)
        for spec in specs
    )


def write_bundle(out: Path, *, second_in_float: bool = False, **changes: object) -> Bundle:
    """Write an INT8 TFLite bundle whose graphs are both two convolutions; ``changes`` are of the manifest."""
    with stage_bundle(out) as folder:
        (folder / "attention.safetensors").write_bytes(b"attention")
        files = {
            part: describe_file(
                write_two_convs(
                    folder / f"{part}.tflite", second_in_float=second_in_float and part == "basis"
                )
            )
            for part in ("detector", "basis")
        }
        head = (*(tensor(role, "p3") for role in HEAD_ROLES), tensor("pyramid", "p3"))
        graphs = {
            "detector": GraphSpec(
                format="tflite",
                precision="int8",
                files=(files["detector"],),
                inputs=in_int8(tensor("image")),
                outputs=in_int8(*head),
            ),
            "basis": GraphSpec(
                format="tflite",
                precision="int8",
                files=(files["basis"],),
                inputs=in_int8(tensor("pyramid", "p3")),
                outputs=in_int8(tensor("bases")),
            ),
        }
        attention = AttentionSpec(mode="sparse", file=describe_file(folder / "attention.safetensors"))
        manifest: Manifest = msgspec.structs.replace(
            make_manifest(graphs, attention), target="tflite", quantization=make_quantization()
        )
        manifest = msgspec.structs.replace(manifest, **changes)
        (folder / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return Bundle.load(out)


@pytest.fixture
def source(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "int8")


def test_a_bundle_is_compiled(source, tmp_path) -> None:
    steps: list[str] = []
    bundle, report = convert_for_ethos_u(
        source.path, tmp_path / "npu", accelerator="ethos-u65-512", progress=steps.append
    )
    assert steps == [f"compiling the {part} graph for ethos-u65-512" for part in ("detector", "basis")]
    assert bundle.manifest.target == "ethos-u"
    for part, graph in bundle.manifest.graphs.items():
        before = source.graph(part)
        assert (graph.format, graph.precision) == ("tflite-ethos-u", "int8")
        assert (graph.inputs, graph.outputs) == (before.inputs, before.outputs)
        compiled, original = (read_tflite(one.graph_files(part)[0]) for one in (bundle, source))
        assert [operator.kind for operator in compiled.operators] == ["ethos-u"]
        assert (compiled.inputs, compiled.outputs) == (original.inputs, original.outputs)
        assert compiled.signature == {"image": "image", "out": "out"}
    assert bundle.file(bundle.manifest.attention.file).read_bytes() == b"attention"
    assert bundle.manifest.verification == source.manifest.verification
    assert bundle.manifest.tools["ethos-u-vela"].startswith(f"{report.vela} for ethos-u65-512, ")


def test_the_report_says_where_everything_runs(source, tmp_path) -> None:
    _, report = convert_for_ethos_u(source, tmp_path / "npu", accelerator="ethos-u65-512")
    assert (report.accelerator, report.clock_hz) == ("ethos-u65-512", 1e9)
    assert report.system_config == "Ethos_U65_Client_Server"
    assert (report.memory_mode, report.arena_cache_size) == ("Dedicated_Sram_384KB", 384 * 1024)
    for graph in report.graphs:
        assert [operator.layer for operator in graph.operators] == ["first", "second"]
        assert [operator.on_npu for operator in graph.operators] == [True, True]
        assert [operator.macs for operator in graph.operators] == [FIRST, SECOND]
        assert (graph.npu_operators, graph.npu_macs, graph.npu_share) == (2, FIRST + SECOND, 1.0)
        # Vela counts the MACs of convolutions as we do.
        assert graph.vela_macs == FIRST + SECOND
        assert graph.left_on_cpu == ()
        assert all(operator.cycles is not None and operator.cycles > 0 for operator in graph.operators)
        assert graph.seconds == pytest.approx(graph.cycles / report.clock_hz)
        assert set(graph.memory) == {"SRAM", "DRAM"}
        assert graph.memory["DRAM"] > 8 * 8 * (4 + 8)  # input and output lie there


def test_a_convolution_that_stays_on_the_cpu_lowers_the_share(tmp_path) -> None:
    source = write_bundle(tmp_path / "int8", second_in_float=True)
    bundle, report = convert_for_ethos_u(source, tmp_path / "npu")
    detector, basis = report.graphs
    assert detector.npu_share == 1.0
    assert (basis.npu_operators, len(basis.operators)) == (1, 4)
    assert (basis.npu_macs, basis.macs) == (FIRST, FIRST + SECOND)
    assert basis.npu_share == pytest.approx(2048 / 38912)
    # Vela's own count leaves out what is on the CPU: a share of it could never be below 100%.
    assert basis.vela_macs == FIRST
    assert [operator.kind for operator in basis.left_on_cpu] == ["DEQUANTIZE", "CONV_2D", "QUANTIZE"]
    conv = basis.left_on_cpu[1]
    assert conv.layer == "second" and conv.cycles is None
    assert conv.reason == "Operation has tensor with unsupported DataType Float32 (/as_float)"
    kinds = [operator.kind for operator in read_tflite(bundle.graph_files("basis")[0]).operators]
    assert kinds == ["ethos-u", "DEQUANTIZE", "CONV_2D", "QUANTIZE"]


def test_a_report_that_does_not_fit_the_file_is_not_believed(tmp_path) -> None:
    source = write_two_convs(tmp_path / "half.tflite", second_in_float=True)
    output = compile_tflite(source, tmp_path, VelaOptions())
    before, after = read_tflite(source), read_tflite(output.model)
    assert graph_report("basis", before, after, output).npu_operators == 1
    with pytest.raises(ConversionError, match=r"basis graph does not fit its file: .* 0 .*has 3"):
        graph_report("basis", before, after, dataclasses.replace(output, on_cpu=frozenset()))


def test_an_operator_without_a_reason(tmp_path) -> None:
    source = write_two_convs(tmp_path / "half.tflite", second_in_float=True)
    output = dataclasses.replace(compile_tflite(source, tmp_path, VelaOptions()), reasons={})
    report = graph_report("basis", read_tflite(source), read_tflite(output.model), output)
    assert {operator.reason for operator in report.left_on_cpu} == {"Vela gives no reason"}


def test_a_graph_without_macs_has_no_share(tmp_path) -> None:
    source = write_two_convs(tmp_path / "graph.tflite")
    output = compile_tflite(source, tmp_path, VelaOptions())
    report = graph_report("basis", read_tflite(source), read_tflite(output.model), output)
    without = tuple(dataclasses.replace(operator, macs=0) for operator in report.operators)
    assert math.isnan(dataclasses.replace(report, operators=without).npu_share)


def test_options_reach_vela(tmp_path) -> None:
    source = write_two_convs(tmp_path / "graph.tflite")
    options = VelaOptions(
        accelerator="ethos-u55-128",
        system_config="Ethos_U55_Deep_Embedded",
        memory_mode="Sram_Only",
        arena_cache_size=100_000,
        optimise="Performance",
    )
    summary = compile_tflite(source, tmp_path, options).summary
    assert summary["accelerator_configuration"] == "Ethos_U55_128"
    assert (summary["system_config"], summary["memory_mode"]) == ("Ethos_U55_Deep_Embedded", "Sram_Only")
    assert float(summary["core_clock"]) == 200e6
    assert float(summary["arena_cache_size"]) * 1024 == 100_000


def test_a_size_that_vela_ignores_is_refused(tmp_path) -> None:
    source = write_two_convs(tmp_path / "graph.tflite")
    place = {"system_config": "Ethos_U55_Deep_Embedded", "memory_mode": "Sram_Only", "optimise": "Size"}
    assert compile_tflite(source, tmp_path, VelaOptions(accelerator="ethos-u55-128", **place)).summary
    (tmp_path / "again").mkdir()
    with pytest.raises(ConversionError, match="arena_cache_size: Vela ignores it with optimise='Size'"):
        options = VelaOptions(accelerator="ethos-u55-128", arena_cache_size=100_000, **place)
        compile_tflite(source, tmp_path / "again", options)


def test_a_configuration_file_of_ones_own(tmp_path) -> None:
    source = write_two_convs(tmp_path / "graph.tflite")
    config = tmp_path / "board.ini"
    config.write_text(
        "[System_Config.Board]\ncore_clock=250e6\naxi0_port=Sram\naxi1_port=OffChipFlash\n"
        "Sram_clock_scale=1.0\nOffChipFlash_clock_scale=0.125\n"
        "[Memory_Mode.Board]\nconst_mem_area=Axi1\narena_mem_area=Axi0\ncache_mem_area=Axi0\n"
    )
    options = VelaOptions("ethos-u55-64", system_config="Board", memory_mode="Board", config=config)
    vela.check_options(options)
    assert float(compile_tflite(source, tmp_path, options).summary["core_clock"]) == 250e6


def test_a_module_of_the_users_is_not_imported(tmp_path, monkeypatch) -> None:
    (tmp_path / "csv.py").write_text("raise SystemExit('imported from the working folder')")
    monkeypatch.chdir(tmp_path)
    assert compile_tflite(write_two_convs(Path("graph.tflite")), tmp_path, VelaOptions()).cycles


def test_the_accelerators_come_from_vela() -> None:
    names = accelerators()
    assert {"ethos-u55-32", "ethos-u55-256", "ethos-u65-256", "ethos-u65-512", "ethos-u85-2048"} <= set(names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accelerator": "ethos-u99-1"}, r"unknown accelerator 'ethos-u99-1'; Vela .* ethos-u55-32, "),
        ({"config": "nowhere.ini"}, r"nowhere.ini: no such file"),
        ({"config": __file__, "memory_mode": "Sram_Only"}, "both a system config and a memory mode"),
        ({"arena_cache_size": 0}, "arena_cache_size must be at least 1, got 0"),
    ],
)
def test_options_that_cannot_be_are_refused(source, tmp_path, options, message) -> None:
    with pytest.raises(InputError, match=message):
        convert_for_ethos_u(source, tmp_path / "npu", **options)


def test_a_section_that_is_not_in_the_configuration(source, tmp_path) -> None:
    with pytest.raises(ConversionError, match=r"detector.*Section System_Config.Nowhere not found") as caught:
        convert_for_ethos_u(source, tmp_path / "npu", system_config="Nowhere")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "npu").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "openvino"}, r"of target 'tflite', this is for 'openvino'"),
        ({"target": "ethos-u"}, "is compiled already"),
    ],
)
def test_a_bundle_for_another_engine_is_refused(source, tmp_path, changes, message) -> None:
    source = dataclasses.replace(source, manifest=msgspec.structs.replace(source.manifest, **changes))
    with pytest.raises(InputError, match=message):
        convert_for_ethos_u(source, tmp_path / "npu")


def test_a_graph_in_float_is_refused(source, tmp_path) -> None:
    graphs = dict(source.manifest.graphs)
    graphs["basis"] = msgspec.structs.replace(graphs["basis"], precision="fp32")
    changed = dataclasses.replace(source, manifest=msgspec.structs.replace(source.manifest, graphs=graphs))
    with pytest.raises(InputError, match=r"both graphs in int8, the basis graph is fp32 tflite"):
        convert_for_ethos_u(changed, tmp_path / "npu")


def test_the_source_is_not_overwritten(source) -> None:
    with pytest.raises(InputError, match="choose another name"):
        convert_for_ethos_u(source, source.path, overwrite=True)


def test_what_is_there_is_kept_unless_asked(source, tmp_path) -> None:
    out = tmp_path / "npu"
    convert_for_ethos_u(source, out)
    with pytest.raises(OutputError, match="already exists"):
        convert_for_ethos_u(source, out)
    bundle, _ = convert_for_ethos_u(source, out, accelerator="ethos-u85-128", overwrite=True)
    assert "ethos-u85-128" in bundle.manifest.tools["ethos-u-vela"]


def test_velas_failure_is_told_in_one_line(tmp_path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"not a model at all")
    with pytest.raises(ConversionError, match=r"^Vela cannot compile broken.tflite for ethos-u65-256: .+$"):
        compile_tflite(broken, tmp_path, VelaOptions())


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        ("", "it says nothing"),
        ("Traceback ...\n  File x\nRuntimeError: no memory\n", "no memory"),
        ("ethosu.vela.errors.CliOptionError: 'Error: no such section'\n", "no such section"),
    ],
)
def test_last_words(monkeypatch, tmp_path, stderr, expected) -> None:
    failed = subprocess.CompletedProcess([], 1, "", stderr)
    monkeypatch.setattr(vela, "run_module", lambda *args, **options: failed)
    with pytest.raises(ConversionError, match=rf": {expected}$"):
        compile_tflite(tmp_path / "x.tflite", tmp_path, VelaOptions())


def test_a_full_disk_is_no_fault_of_the_graph(monkeypatch, tmp_path) -> None:
    stderr = "Traceback:\nOSError: [Errno 28] No space left on device: 'x.tflite'"
    failed = subprocess.CompletedProcess([], 1, "", stderr)
    monkeypatch.setattr(vela, "run_module", lambda *args, **options: failed)
    with pytest.raises(OutputError, match="cannot write its files: No space left on device; .*TMPDIR"):
        compile_tflite(tmp_path / "x.tflite", tmp_path, VelaOptions())


def test_another_form_of_report_is_not_guessed_at(monkeypatch, tmp_path) -> None:
    done = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(vela, "run_module", lambda *args, **options: done)
    with pytest.raises(ConversionError, match=r"in a form that is not known here.*edgeblend\[ethos-u\]"):
        compile_tflite(tmp_path / "x.tflite", tmp_path, VelaOptions())


def test_vela_is_a_module_of_a_process_of_its_own(monkeypatch, tmp_path) -> None:
    """How such a process is run, and that it executes nothing of the current folder, is tested beside it."""
    modules: list[str] = []

    def run(module: str, arguments: list[str], *, cwd: Path) -> object:
        modules.append(module)
        assert cwd == tmp_path
        return subprocess.CompletedProcess([], 1, "", "")

    monkeypatch.setattr(vela, "run_module", run)
    with pytest.raises(ConversionError):
        compile_tflite(tmp_path / "x.tflite", tmp_path, VelaOptions())
    assert modules == ["ethosu.vela"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError("did not end within 1 seconds"), "compiling x.tflite for ethos-u65-256, did not end"),
        (OSError("no memory"), "Vela cannot be started: no memory"),
    ],
)
def test_a_vela_that_does_not_run_is_told_in_one_line(error, words, monkeypatch, tmp_path) -> None:
    def run(*args: object, **options: object) -> object:
        raise error

    monkeypatch.setattr(vela, "run_module", run)
    with pytest.raises(ConversionError, match=words):
        compile_tflite(tmp_path / "x.tflite", tmp_path, VelaOptions())


def test_no_temporary_folder(tmp_path, monkeypatch):
    def none(**options):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    bundle = write_bundle(tmp_path / "float")
    monkeypatch.setattr(tempfile, "mkdtemp", none)
    with pytest.raises(OutputError, match=r"detector\.tflite: there is no temporary folder .*; set TMPDIR"):
        convert_for_ethos_u(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()
