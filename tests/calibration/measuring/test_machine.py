import pytest

from edgeblend.calibration.measuring.machine import features_of, processor_features, usable_cores

_ZEN3 = """\
processor\t: 0
model name\t: AMD EPYC
flags\t\t: fpu sse4_2 fma avx avx2 avx512_nothing

processor\t: 1
flags\t\t: avx512f
"""


@pytest.mark.parametrize(
    ("flags", "there"),
    [
        ("fpu sse avx", set()),
        ("avx2 avx_vnni", {"AVX2", "VNNI"}),
        ("avx2 avx512f avx512_vnni", {"AVX2", "AVX-512", "VNNI"}),
        (
            "avx2 avx512f avx512_vnni avx512_bf16 amx_tile amx_int8",
            {"AVX2", "AVX-512", "VNNI", "BF16", "AMX"},
        ),
    ],
)
def test_what_an_x86_processor_has(flags, there):
    found = features_of([f"flags\t\t: {flags}\n"])
    assert list(found) == ["AVX2", "AVX-512", "VNNI", "BF16", "AMX"]
    assert {name for name, is_there in found.items() if is_there} == there


def test_what_an_arm_processor_has():
    found = features_of(["Features\t: fp asimd evtstrm asimdhp asimddp i8mm\n"])
    assert {name for name, is_there in found.items() if is_there} == {"NEON", "FP16", "DotProd", "I8MM"}
    assert {name for name, is_there in found.items() if not is_there} == {"BF16", "SVE"}


def test_the_first_core_speaks_for_all():
    found = features_of(_ZEN3.splitlines(keepends=True))
    assert found == {"AVX2": True, "AVX-512": False, "VNNI": False, "BF16": False, "AMX": False}


def test_a_system_that_does_not_tell():
    assert features_of(["processor\t: 0\n", "\n"]) == {}


def test_this_machine(monkeypatch):
    assert usable_cores() >= 1
    assert all(isinstance(found, bool) for found in processor_features().values())
    monkeypatch.setattr("sys.platform", "darwin")
    assert processor_features() == {}
