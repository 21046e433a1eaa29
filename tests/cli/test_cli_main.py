"""The command line as a whole: help, usage, exit codes, tracebacks."""

import ast
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import pytest

import edgeblend
from edgeblend import errors
from edgeblend.cli import build_parser, main
from edgeblend.terminal import setup_syntax, stopping
from edgeblend.terminal.exit_codes import EXIT_CODES

COMMANDS = ("demo", "train", "convert", "quantize", "evaluate", "compare", "bench")
COMMANDS += ("sensitivity", "inspect", "run", "doctor")
PRINTING = ("print", "sys.stdout.write", "sys.stderr.write")
MODULES = sorted((Path(edgeblend.__file__).parent / "cli").glob("*.py"))


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
    classes = errors.EdgeBlendError.__subclasses__()
    codes = {kind.__name__: kind.exit_code for kind in classes if kind.__module__ == errors.__name__}
    assert len(set(codes.values())) == len(codes) == 10
    for name, code in codes.items():
        words = re.findall("[A-Z][a-z]+", name.removesuffix("Error"))
        assert f"{code} {' '.join(words).lower()}" in text
    for code, meaning in EXIT_CODES.items():
        assert f"{code} {meaning}" in text
    assert set(codes.values()) < set(EXIT_CODES)


def test_the_documentation_has_the_same_exit_codes():
    page = Path(edgeblend.__file__).parents[1] / "docs" / "reference" / "exit-codes.md"
    if not page.is_file():
        pytest.skip("an installed package, without its documentation")
    rows = re.findall(r"^\| (\d+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(code) for code in rows] == list(EXIT_CODES)


def documentation() -> str:
    page = Path(edgeblend.__file__).parents[1] / "docs" / "cli.md"
    if not page.is_file():
        pytest.skip("an installed package, without its documentation")
    return page.read_text(encoding="utf-8")


def unknown_options(page: str, capsys) -> list[str]:
    """Options in the section of a command that its help does not have."""
    found = []
    for command in COMMANDS:
        section = page.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
        section = re.sub(r"`python [^`]*`", "", section)  # a benchmark's own options
        known = set(re.findall(r"--[a-z][a-z-]*", printed([command, "--help"], capsys)))
        named = re.findall(r"(?<![\w-])--[a-z][a-z-]*", section)
        found += [f"{command} {option}" for option in dict.fromkeys(named) if option not in known]
    return found


def test_the_documentation_names_options_that_there_are(capsys):
    page = documentation()
    assert unknown_options(page, capsys) == []
    wrong = page.replace("\n## bench\n", "\n## bench\n\n`--no-such-option` does nothing.\n")
    assert unknown_options(wrong, capsys) == ["bench --no-such-option"]


def test_the_documentation_lists_the_options_of_one_bundle():
    section = documentation().partition("\n## Options of one bundle\n")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE)
    assert sorted(named) == sorted((*setup_syntax.NAMES, "property.NAME"))
    assert all(name in setup_syntax.SYNTAX for name in named)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_commands_return_codes_by_name_and_print_in_one_place(module):
    """A number of its own would not be in the list; text that goes out elsewhere could end a command."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    found = list(wayward(tree))
    assert found == []


COMMAND_MODULES = [path for path in MODULES if path.name != "__init__.py"]


@pytest.mark.parametrize("module", COMMAND_MODULES, ids=lambda path: path.stem)
def test_the_folder_holds_commands_and_nothing_else(module):
    """What a command prints, measures or makes lies in another room, where others can use it, too."""
    assert strangers(module.read_text(encoding="utf-8")) == []


def test_every_module_is_a_command_that_is_listed():
    assert sorted(path.stem for path in COMMAND_MODULES) == sorted(COMMANDS)


def strangers(source):
    """What a module lacks of a command, and what it has beside functions and constants of its own."""
    body = ast.parse(source).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    lacking = [name for name in ("add_parser", "run") if name not in functions]
    public = [name for name in functions if not name.startswith("_") and name not in ("add_parser", "run")]
    classes = [node.name for node in body if isinstance(node, ast.ClassDef)]
    too_long = ["more than 200 lines"] if len(source.splitlines()) > 200 else []
    return [*lacking, *public, *classes, *too_long]


def test_the_checker_finds_what_is_no_command():
    assert strangers("def add_parser(): ...\ndef run(): ...\ndef _check(): ...\n") == []
    assert strangers("def run(): ...\ndef page(): ...\nclass _Steps: ...\n" + "\n" * 200) == [
        "add_parser", "page", "_Steps", "more than 200 lines"
    ]  # fmt: skip


def wayward(tree):
    """What prints past output.py, and functions called ``run`` that return a literal other than 0."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in PRINTING:
            yield f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.FunctionDef) and node.name == "run":
            returned = [ast.literal_eval(inner.value) for inner in ast.walk(node) if literal_return(inner)]
            yield from (f"line {node.lineno}: returns {value}" for value in returned if value != 0)


def literal_return(node):
    return isinstance(node, ast.Return) and isinstance(node.value, ast.Constant)


def test_the_checker_finds_what_it_should():
    code = "def run(args) -> int:\n    print(1)\n    sys.stderr.write('x')\n    return 4\n"
    assert len(list(wayward(ast.parse(code)))) == 3


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


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="pipes close differently")
SHOWING = [["doctor"], ["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)]


@POSIX
@pytest.mark.parametrize("argv", SHOWING, ids=" ".join)
def test_a_reader_that_leaves_is_no_traceback(argv):
    with subprocess.Popen([str(script()), *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        stderr = process.stderr.read()
        assert process.wait(60) == 141
    assert stderr == b""


@POSIX
@pytest.mark.parametrize("argv", SHOWING, ids=" ".join)
def test_streams_that_are_closed_are_like_streams_to_nowhere(argv, tmp_path):
    for streams in (">&-", "2>&-", ">&- 2>&- <&-"):
        done = subprocess.run(["sh", "-c", f'"$@" {streams}', "sh", str(script()), *argv], timeout=60)
        assert done.returncode == 0, streams


@POSIX
def test_an_error_with_nobody_to_hear_it_keeps_its_exit_code(tmp_path):
    command = ["sh", "-c", '"$@" 2>&-', "sh", str(script()), "inspect", str(tmp_path / "nowhere")]
    assert subprocess.run(command, timeout=60).returncode == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("argv", SHOWING, ids=" ".join)
def test_an_output_that_is_full_is_one_line(argv, one_line):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [str(script()), *argv], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert one_line(done.stderr)
    assert "standard output: cannot be written" in done.stderr
    assert done.returncode == 9


@POSIX
@pytest.mark.parametrize(
    ("name", "code", "word"),
    [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated"), ("SIGHUP", 129, "hung up")],
)
def test_signals_end_a_command_alike(name, code, word, refused, monkeypatch):
    number = getattr(signal, name)
    before = [signal.getsignal(getattr(signal, each)) for each in ("SIGINT", "SIGTERM", "SIGHUP")]
    cleaned = []

    def work():
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)  # impatience does not interrupt the cleaning up
            cleaned.append(True)

    monkeypatch.setattr("edgeblend.cli.doctor.diagnose", work)
    assert refused(["doctor"], code) == f"edgeblend: {word}\n"
    assert cleaned == [True]
    assert [signal.getsignal(getattr(signal, each)) for each in ("SIGINT", "SIGTERM", "SIGHUP")] == before


@POSIX
def test_a_signal_that_was_dropped_can_be_sent_again(monkeypatch):
    clock = iter([0.0, 1.0, 100.0])
    monkeypatch.setattr(stopping.time, "monotonic", lambda: next(clock))
    with stopping.stopped_by_signals():
        for raises in (True, False, True):
            try:
                signal.raise_signal(signal.SIGTERM)
            except stopping.Stopped:
                assert raises
            else:
                assert not raises


@POSIX
def test_what_is_ignored_stays_so():
    """As ``nohup`` has it, and a shell for its background jobs."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping.stopped_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_handles_no_signals():
    found = []

    def enter():
        with stopping.stopped_by_signals():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


def test_processes_of_libraries_import_nothing_from_here(cli, monkeypatch):
    found = []
    monkeypatch.setattr(
        "edgeblend.cli.doctor.diagnose", lambda: found.append(os.environ["PYTHONSAFEPATH"]) or 1 / 0
    )
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    assert cli(["doctor"])[0] == 1
    assert found == ["1"]
    assert "PYTHONSAFEPATH" not in os.environ
