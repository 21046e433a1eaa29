"""``edgeblend compare`` where a process that measures fails or is killed, or it is itself."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from small_bundle import write_small_bundle

from edgeblend.calibration.evaluation import compare as comparing
from edgeblend.cli import main
from edgeblend.files.temporary import remove_abandoned

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as POSIX does"),
    pytest.mark.long,
]

TESTS = Path(__file__).parent.parent
PAGES = ("page.html", "table.md")


@pytest.fixture
def argv(place, small_bundle, small_labels, monkeypatch):
    """A comparison of a folder with a zip, on one picture; all that it needs lies in one place."""
    monkeypatch.setenv("TMPDIR", str(place / "temp"))
    shutil.copytree(small_bundle.folder, "float")
    write_small_bundle(place / "packed.zip")
    shutil.copytree(small_labels, "data")
    given = ["compare", "float", "packed.zip", "--images", "data/pictures", "--limit", "1"]
    return [*given, "--annotations", "data/labels.json", "--html", "page.html", "--markdown", "table.md"]


@pytest.fixture
def fault(place, monkeypatch):
    """Let an operation fail in the process that measures a bundle."""

    def arrange(bundle, number, how, **more):
        module = "edgeblend.calibration.measuring.peak_memory"
        given = {"module": module, "argument": bundle, "below": str(place), "count": None, **more}
        given |= {"number": number, "how": how}
        monkeypatch.setenv("EDGEBLEND_TEST_FAULT", json.dumps(given))
        path = os.pathsep.join(map(str, (TESTS / "child_faults", TESTS)))
        monkeypatch.setenv("PYTHONPATH", path)

    return arrange


@pytest.fixture
def only(monkeypatch):
    """Measure the memory of one bundle alone."""
    genuine = comparing.measure_peak_memory

    def arrange(bundle):
        def measure(path, pictures, **options):
            return genuine(path, pictures, **options) if path == Path(bundle) else 12_300_000

        monkeypatch.setattr(comparing, "measure_peak_memory", measure)

    return arrange


def nothing_is_left(place):
    """No temporary folder of ours, and no hidden file; Python's own try whether it may write is its own."""
    left = [path for path in (place / "temp").iterdir() if path.is_dir() or path.read_bytes() not in TRIES]
    assert left == []
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


TRIES = (b"", b"bl", b"blat")
"""What ``tempfile`` writes to find a temporary folder."""


def run(argv, capfd):
    """Run the command; returns its exit code and output, without the pages of earlier calls."""
    for name in PAGES:
        Path(name).unlink(missing_ok=True)
    capfd.readouterr()
    return (main(argv), *capfd.readouterr())


def operations_of(bundle, argv, fault, capfd):
    fault(bundle, None, "killed", count="operations.txt")
    assert run(argv, capfd)[0] == 0
    operations = Path("operations.txt").read_text().splitlines()
    assert len(operations) > 5
    return list(enumerate(operations))


def test_the_reference_cannot_be_read_where_it_is_measured(argv, fault, only, place, capfd):
    only("float")
    for number, operation in operations_of("float", argv, fault, capfd):
        fault("float", number, "no_permission")
        code, stdout, stderr = run(argv, capfd)
        what = "data/pictures/1.png" if "png" in operation else "float"
        assert stderr == f"edgeblend: error: {what}: cannot be read: [Errno 13] Permission denied\n", (
            operation
        )
        assert (code, stdout) == (3 if "png" in operation else 6, "")
        assert not any(Path(name).exists() for name in PAGES)
        nothing_is_left(place)


def test_the_reference_is_killed_where_it_is_measured(argv, fault, only, place, capfd):
    only("float")
    fault("float", 0, "killed")
    code, stdout, stderr = run(argv, capfd)
    assert stderr == "edgeblend: error: float: running it ends the process with SIGKILL\n"
    assert (code, stdout) == (7, "")
    assert not any(Path(name).exists() for name in PAGES)
    nothing_is_left(place)


def test_a_candidate_is_killed_at_every_operation_where_it_is_measured(argv, fault, only, place, capfd):
    """Also while it unpacks its zip."""
    only("packed.zip")
    numbers = operations_of("packed.zip", argv, fault, capfd)
    assert len(numbers) > 15
    for number, operation in numbers:
        fault("packed.zip", number, "killed")
        code, stdout, stderr = run(argv, capfd)
        assert (code, stderr) == (11, ""), operation
        assert "packed.zip failed: packed.zip: running it ends the process with SIGKILL\n" in stdout
        assert Path("page.html").read_text().endswith("</html>\n") and Path("table.md").exists()
        nothing_is_left(place)


def test_the_disk_is_full_where_a_candidate_is_measured(argv, fault, only, place, capfd):
    """A full disk ends the command and does not count as a failure of the candidate."""
    only("packed.zip")
    writes = [n for n, name in operations_of("packed.zip", argv, fault, capfd) if name.startswith("write ma")]
    fault("packed.zip", writes[0], "no_space")
    code, stdout, stderr = run(argv, capfd)
    assert (code, stdout, stderr.count("\n")) == (9, "", 1)
    assert "packed.zip: cannot be unpacked into " in stderr and "No space left on device; make room" in stderr
    nothing_is_left(place)


FORKS = """
import json, os, sys
from pathlib import Path
from faults import failing, killed
# All that is needed is imported, but no engine has started a thread: each process is a copy of this one.
import cv2, openvino, faster_coco_eval, edgeblend.runtime.segmenter, edgeblend.calibration.evaluation.accuracy
import edgeblend.report.compare.page, edgeblend.report.compare.text
from edgeblend.calibration.evaluation import compare
from edgeblend.cli import main
compare.measure_peak_memory = lambda bundle, pictures, **options: 12_300_000
names = [Path(name) for name in ("page.html", "table.md")]
for number in range(1000):
    child = os.fork()
    if child == 0:
        with failing(number, killed, below=Path.cwd()):
            os._exit(main([*sys.argv[1:], "--json"]))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    written = {name.name: name.read_text().splitlines()[-1] for name in names if name.exists()}
    print(json.dumps([code, written]), file=sys.stderr)
    for name in names:
        name.unlink(missing_ok=True)
    if code != -9:
        break
"""


def test_it_is_killed_at_every_operation(argv, place):
    """Files that were asked for are whole or absent, and what was unpacked goes with the next process."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", FORKS, *argv]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    *kills, last = map(json.loads, done.stderr.splitlines())
    whole = {"page.html": "</html>", "table.md": last[1]["table.md"]}
    assert last == [0, whole]
    assert len(kills) > 50 and {code for code, _ in kills} == {-signal.SIGKILL}
    assert all(written.items() <= whole.items() for _, written in kills)
    assert [path for path in (place / "temp").iterdir() if path.is_dir()] == []


def end_of_pipe(process):
    """Have a pipe end that nobody has opened before the process ends: the test fails then, and goes on."""
    process.wait()
    with suppress(OSError):  # nobody waits for it
        os.close(os.open("pipe", os.O_WRONLY | os.O_NONBLOCK))


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process of another as Linux does")
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("SIGKILL", -signal.SIGKILL),
        ("SIGTERM", 128 + signal.SIGTERM),
        ("SIGHUP", 128 + signal.SIGHUP),
        ("SIGINT", 128 + signal.SIGINT),
    ],
)
def test_the_process_that_measures_ends_with_it(sent, code, argv, fault, place):
    """It hangs where it has unpacked half of its zip."""
    os.mkfifo("pipe")
    fault("packed.zip", 12, "stuck", pipe=str(place / "pipe"))
    command = [sys.executable, "-c", "import sys; from edgeblend.cli import main; sys.exit(main())", *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        threading.Thread(target=end_of_pipe, args=(process,)).start()
        child = os.pidfd_open(int(Path("pipe").read_text()))
        assert len([path for path in (place / "temp").iterdir() if path.is_dir()]) == 2
        process.send_signal(getattr(signal, sent))
        assert select.select([child], [], [], 60)[0]  # it has ended
        os.close(child)
        stdout, stderr = process.communicate()
    assert (process.returncode, stdout, stderr.count("\n")) == (code, "", sent != "SIGKILL"), stderr
    assert not any(Path(name).exists() for name in PAGES)
    if sent == "SIGKILL":
        remove_abandoned()  # as the next process does
    nothing_is_left(place)
