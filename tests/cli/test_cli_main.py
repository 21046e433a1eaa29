"""The command line as a whole: help, usage, exit codes, tracebacks."""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import edgeblend
from edgeblend import errors
from edgeblend.cli import build_parser, main

COMMANDS = ("convert", "quantize", "compare", "sensitivity", "inspect", "run", "doctor")


def script() -> Path:
    """The installed command."""
    folder = Path(sysconfig.get_path("scripts"))
    found = [folder / name for name in ("edgeblend", "edgeblend.exe") if (folder / name).is_file()]
    if not found:
        pytest.skip("the package is not installed with its command")
    return found[0]


def printed(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    stdout, stderr = capsys.readouterr()
    assert (stop.value.code, stderr) == (0, "")
    return stdout


def test_version(capsys):
    assert printed(["--version"], capsys) == f"edgeblend {edgeblend.__version__}\n"


def test_help_names_every_command_and_exit_code(capsys):
    text = printed(["--help"], capsys)
    for command in COMMANDS:
        assert re.search(rf"\n    {command}\s", text)
    for code in range(10):
        assert f"  {code} " in text
    assert "130 interrupted" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    text = printed([command, "--help"], capsys)
    assert text.startswith(f"usage: edgeblend {command} ")
    assert "--json" in text
    assert "--debug" in text


def test_the_exit_codes_are_those_that_the_help_lists(capsys):
    text = printed(["--help"], capsys)
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.__name__: kind.exit_code for kind in classes if kind is not errors.EdgeBlendError}
    assert len(set(codes.values())) == len(codes) == 9
    for name, code in codes.items():
        assert f"{code} {name.removesuffix('Error').lower()}" in text


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "COMMAND"),
        (["fly"], "fly"),
        (["run"], "required"),
        (["inspect", "x", "--unknown"], "--unknown"),
        (["convert", "x.pth", "--out", "x"], "--config"),
        (["convert", "x.pth", "--config", "R_50_3x", "--out", "x", "--precision", "int3"], "int3"),
        (["run", "b", "p.jpg", "--out", "o", "--threads", "many"], "many"),
        (["run", "b", "p.jpg", "--out", "o", "--score-threshold", "high"], "high"),
        (["run", "b", "p.jpg", "--out", "o", "--paste", "twice"], "twice"),
        (["quantize", "b", "--out", "o"], "--calibration"),
        (["quantize", "b", "--calibration", "d"], "--out"),
        (["quantize", "b", "--calibration", "d", "--out", "o", "--max-drop", "much"], "much"),
        (["quantize", "b", "--calibration", "d", "--out", "o", "--frames", "many"], "many"),
        (["sensitivity", "b"], "--calibration"),
        (["sensitivity", "b", "--calibration", "d", "--compare-on", "few"], "few"),
        (["compare", "b", "--images", "d"], "candidate"),
        (["compare", "b", "c"], "--images"),
        (["compare", "b", "c", "--images", "d", "--max-drop", "much"], "much"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_help(argv, words, refused):
    stderr = refused(argv, 2, words)
    assert "--help" in stderr


def test_an_unexpected_failure_is_one_line(refused, monkeypatch):
    def fail(args):
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr("edgeblend.cli.doctor.diagnose", lambda: fail(None))
    refused(["doctor"], 1, "ZeroDivisionError: first line", "second line", "--debug")


def test_an_error_of_several_lines_becomes_one(refused, monkeypatch):
    def fail():
        raise errors.ConversionError("cannot:\n  because\n")

    monkeypatch.setattr("edgeblend.cli.doctor.diagnose", fail)
    refused(["doctor"], 8, "cannot: because")


def test_interruption_is_one_line_and_130(refused, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("edgeblend.cli.doctor.diagnose", interrupt)
    refused(["doctor"], 130, "interrupted")


def test_debug_shows_where_and_keeps_the_exit_code(place, cli):
    code, stdout, stderr = cli(["inspect", "nowhere", "--debug"])
    assert (code, stdout) == (3, "")
    assert "Traceback" in stderr
    assert "InputError: nowhere: no such file" in stderr


def test_every_command_sets_what_runs():
    for argv in (
        ["doctor"],
        ["inspect", "x"],
        ["run", "b", "p", "-o", "o"],
        ["convert", "c", "--config", "x", "-o", "o"],
    ):
        assert callable(build_parser().parse_args(argv).command)


@pytest.mark.parametrize("debug", [False, True])
def test_the_installed_command(debug, tmp_path, one_line):
    command = [str(script()), "inspect", str(tmp_path / "nowhere"), *(["--debug"] if debug else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    if debug:
        assert "Traceback" in done.stderr
        assert "InputError" in done.stderr
    else:
        assert one_line(done.stderr)
    assert done.returncode == 3


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close differently")
def test_a_reader_that_leaves_is_no_traceback():
    with subprocess.Popen(
        [str(script()), "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        stderr = process.stderr.read()
        assert process.wait(60) == 1
    assert stderr == b""
