"""``edgeblend run`` that was stopped goes on, and ends with what an uninterrupted one writes."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import cv2
import msgspec
import pytest
from faults import failing, interrupted, no_permission, no_space
from small_bundle import frames

from edgeblend import Segmenter
from edgeblend.cli import main
from edgeblend.runs.journal import read_lines

OPENED: dict[str, Segmenter] = {}
COUNT = 6
BROKEN = 2
"""The position of a picture that cannot be read."""


@pytest.fixture(autouse=True)
def opened_once(monkeypatch):
    """Open the bundle once for all runs, and find little: what is tested here is not the engine."""
    genuine = Segmenter.load

    def load(bundle, **options):
        del options["properties"], options["threads"]
        key = f"{bundle.path} {options}"
        if key not in OPENED:
            OPENED[key] = genuine(bundle, **options)
        return OPENED[key]

    call = Segmenter.__call__
    monkeypatch.setattr(Segmenter, "load", load)
    monkeypatch.setattr(Segmenter, "close", lambda self: None)
    monkeypatch.setattr(Segmenter, "__call__", lambda self, frame: call(self, frame)[:2])


@pytest.fixture
def run(place, small_bundle, capsys):
    """Six pictures of which one is broken; returns what runs them, with its exit code and output."""
    (place / "pictures").mkdir()
    for number, frame in enumerate(frames(COUNT)):
        cv2.imwrite(f"pictures/{number}.png", frame)
    Path("pictures", f"{BROKEN}.png").write_bytes(b"no picture")

    def run(*more, out="out", pictures="pictures"):
        capsys.readouterr()
        code = main(["run", str(small_bundle.path), pictures, "--out", out, *more])
        return (code, *capsys.readouterr())

    return run


def content(out):
    """Every file's bytes, with the times that were measured taken out of the journal."""
    found = {
        path.relative_to(out).as_posix(): path.read_bytes() for path in Path(out).rglob("*") if path.is_file()
    }
    lines = [json.loads(line) for line in found.pop("instances.jsonl").splitlines()]
    return found, [{key: value for key, value in line.items() if key != "timings_ms"} for line in lines]


@pytest.fixture
def whole(run):
    """What an uninterrupted run writes."""
    assert run(out="whole")[0] == 3
    return content("whole")


@pytest.fixture
def stop_at(monkeypatch):
    """Have the segmenter raise at one of its calls, counted from 1."""

    def arrange(number, error):
        genuine, calls = Segmenter.__call__, itertools.count(1)

        def call(self, frame, **options):
            if next(calls) == number:
                raise error
            return genuine(self, frame, **options)

        monkeypatch.setattr(Segmenter, "__call__", call)

    return arrange


def test_the_document_is_what_it_would_be_in_one_piece(whole):
    found, lines = whole
    document = json.loads(found["instances.json"])
    assert list(document) == ["images", "categories", "annotations"]
    assert found["instances.json"] == msgspec.json.encode(document)
    assert [image["id"] for image in document["images"]] == [1, 2, 3, 4, 5]
    assert [item["id"] for item in document["annotations"]] == list(
        range(1, len(document["annotations"]) + 1)
    )
    images = [item["image_id"] for item in document["annotations"]]
    assert images == sorted(images) and set(images) <= {1, 2, 3, 4, 5} and len(set(images)) > 1
    assert [line["line"] for line in lines] == ["run", *["picture"] * 2, "failure", *["picture"] * 3, "end"]


@pytest.mark.parametrize("number", [1, 3, 5])
@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
@pytest.mark.skipif(os.name == "nt", reason="signals processes as POSIX does")
def test_resuming_after_a_signal(number, signal_name, run, whole, monkeypatch):
    genuine, calls = Segmenter.__call__, itertools.count(1)

    def call(self, frame, **options):
        if next(calls) == number:
            signal.raise_signal(getattr(signal, signal_name))
        return genuine(self, frame, **options)

    monkeypatch.setattr(Segmenter, "__call__", call)
    code, _, stderr = run()
    assert code == {"SIGINT": 130, "SIGTERM": 143}[signal_name]
    if number == 1:
        assert not Path("out").exists()  # nothing was found
    else:
        images = json.loads(Path("out/instances.json").read_text())["images"]
        assert [image["id"] for image in images] == list(range(1, number))
        assert len(list(Path("out/overlays").iterdir())) == number - 1
    code, stdout, stderr = run("--resume")
    assert code == 3
    assert ("going on after" in stderr) == (number > 1)
    assert len(stdout.splitlines()) == COUNT - number
    assert content("out") == whole


@pytest.mark.parametrize("cut", [0, 1, 30, 0.3, 0.5, 0.9, -1, -100])
def test_resuming_from_a_journal_that_was_torn_anywhere(cut, run, whole):
    shutil.copytree("whole", "out")
    journal = Path("out/instances.jsonl")
    data = journal.read_bytes()
    journal.write_bytes(data[: int(len(data) * cut) if isinstance(cut, float) else cut])
    Path("out/instances.json").write_text("old")
    Path("out/.run.part").write_text("half")
    if b"\n" not in journal.read_bytes():  # the first line is on disk before anything else is made
        shutil.rmtree("out/overlays")
    assert run("--resume")[0] == 3
    assert content("out") == whole


@pytest.mark.parametrize("left", [b"", b"\xff\xd8\xff", None])
def test_an_overlay_that_is_not_whole_is_drawn_again(left, run, whole):
    shutil.copytree("whole", "out")
    overlay = Path("out/overlays/3.jpg")
    overlay.unlink() if left is None else overlay.write_bytes(left)
    code, stdout, _ = run("--resume")
    assert (code, len(stdout.splitlines())) == (3, 3)
    assert content("out") == whole


def test_resuming_what_is_complete_does_nothing(run, whole, monkeypatch, tree):
    monkeypatch.setattr(Segmenter, "load", None)
    before = tree(Path("whole"))
    code, stdout, stderr = run("--resume", out="whole")
    assert (code, stdout) == (3, "")
    assert "whole: this run is complete, all 6 pictures are done" in stderr
    assert "1 of 6 pictures failed" in stderr
    report = json.loads(run("--resume", "--json", out="whole")[1])
    assert report["info"]["target"] == "openvino"
    assert (len(report["pictures"]), len(report["failures"])) == (5, 1)
    assert tree(Path("whole")) == before


def test_without_its_document_it_is_not_complete(run, whole):
    Path("whole/instances.json").unlink()
    assert run("--resume", out="whole")[0] == 3
    assert content("whole") == whole


@pytest.mark.parametrize(
    ("order", "drawn"),
    [
        ([0, 2, 3, 4, 5, 6, 7], 5),  # without the first picture
        ([0, 1, 1, 2, 3, 4, 5, 6, 7], 4),
        ([0, 1, 3, 2, 4, 5, 6, 7], 4),
        ([0, 1, 2, 7], 3),  # an end before all is done
        ([0, 1, 2, 0, 3, 4, 5, 6, 7], 3),
    ],
    ids=str,
)
def test_lines_that_do_not_go_on_with_the_pictures_are_done_again(order, drawn, run, whole):
    journal = Path("whole/instances.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[number] for number in order))
    code, stdout, _ = run("--resume", out="whole")
    assert (code, len(stdout.splitlines())) == (3, drawn)
    assert content("whole") == whole


def test_what_comes_after_the_end_does_not_count(run, whole):
    journal = Path("whole/instances.jsonl")
    journal.write_bytes(2 * journal.read_bytes())
    report = json.loads(run("--resume", "--json", out="whole")[1])
    assert (len(report["pictures"]), len(report["failures"])) == (5, 1)


def test_resuming_nothing_begins(run, whole):
    assert run("--resume")[0] == 3
    assert content("out") == whole


def test_the_report_is_the_same_after_resuming(run, stop_at, monkeypatch):
    with monkeypatch.context():
        stop_at(3, KeyboardInterrupt())
        assert run()[0] == 130
    code, stdout, _ = run("--resume", "--json")
    report = json.loads(stdout)
    assert [entry["file"] for entry in report["pictures"]] == [f"pictures/{n}.png" for n in (0, 1, 3, 4, 5)]
    assert len(report["failures"]) == 1
    assert stdout == msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def test_a_run_of_something_else_is_refused(run, whole, place, small_bundle, capsys, tree):
    before = tree(Path("whole"))
    for more, words in (
        (("--score-threshold", "0.5"), "score-threshold was None and is 0.5"),
        (("--no-overlays",), "overlays was True and is False"),
        (("--paste", "unclipped", "--precision", "engine"), "paste was 'clipped' and is 'unclipped'"),
    ):
        code, _, stderr = run("--resume", *more, out="whole")
        assert code == 3 and words in stderr and stderr.count("\n") == 1
    shutil.copytree("pictures", "more")
    shutil.copy("pictures/0.png", "more/9.png")
    code, _, stderr = run("--resume", out="whole", pictures="more")
    assert code == 3 and "there were 6 pictures and are 7" in stderr
    Path("more/9.png").unlink()
    code, _, stderr = run("--resume", out="whole", pictures="more")
    assert code == 3 and "picture 1 was pictures/0.png and is more/0.png" in stderr
    bundle = shutil.copytree(small_bundle.path, place / "other")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["decode"]["score_threshold"] /= 2
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    code = main(["run", str(bundle), "pictures", "--out", "whole", "--resume"])
    assert code == 3 and "the bundle is another one" in capsys.readouterr().err
    assert tree(Path("whole")) == before
    assert run("--resume", "--threads", "1", out="whole")[0] == 3  # that changes no result


# Faults


@pytest.mark.parametrize(
    ("how", "more"),
    [
        (no_space, ()),
        (no_permission, ("--overwrite",)),
        (interrupted, ()),
        (no_permission, ("--resume",)),
        (interrupted, ("--resume",)),
    ],
)
@pytest.mark.long
def test_every_file_operation_may_fail_once(how, more, run, monkeypatch):
    """What is there then is whole, is said in one line, and is what another run goes on from."""
    for number in range(BROKEN + 1, COUNT):
        Path("pictures", f"{number}.png").unlink()
    assert run(out="whole")[0] == 3
    whole = content("whole")
    monkeypatch.setattr("fcntl.flock", lambda file, how: None, raising=False)
    for number in range(1000):
        shutil.rmtree("out", ignore_errors=True)
        if more:
            shutil.copytree("whole", "out")
        if "--resume" in more:
            cut_after_a_picture(Path("out"))
        with failing(number, how, below=Path("out")) as seen:
            code, _, stderr = run(*more)
        if len(seen.operations) <= number:
            assert code == 3
            break
        said = [line for line in stderr.splitlines() if not any(words in line for words in NOT_ERRORS)]
        assert code in ((130, 3) if how is interrupted else (9, 3)), (number, stderr)
        assert len(said) == 1 and "Traceback" not in stderr, (number, stderr)
        out = Path("out")
        if (out / "instances.json").exists():
            json.loads((out / "instances.json").read_text())
        if out.exists():
            assert (out / "instances.jsonl").exists() or not any(out.iterdir()), number
            for line, _ in read_lines(out / "instances.jsonl") if any(out.iterdir()) else ():
                assert line
        if "--resume" in more:  # what was found before is not lost
            assert len(list(read_lines(out / "instances.jsonl"))) >= 2, number
        code, _, stderr = run("--overwrite" if more and not resumable(out) else "--resume")
        assert code == 3, (number, stderr)
        assert content("out") == whole, number
    assert number > 20


NOT_ERRORS = ("no picture", "pictures/2", "going on after")


def cut_after_a_picture(out):
    """Leave what a run has that was killed there."""
    journal = out / "instances.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))
    (out / "instances.json").unlink()


def resumable(out):
    with suppress(OSError):
        return bool(list(read_lines(out / "instances.jsonl")))
    return False


@pytest.mark.skipif(os.name == "nt", reason="kills processes as POSIX does")
@pytest.mark.long
def test_killed_at_every_picture(run, whole, small_bundle):
    """SIGKILL leaves no chance to clean up."""
    kill = (
        "import os, signal, sys\nfrom edgeblend import Segmenter\n"
        "from edgeblend.runs import results as run_results\n"
        "genuine = run_results.whole_file\n"
        "def whole_file(out, name, **options):\n"
        "    if name == 'overlays/{}.jpg': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return genuine(out, name, **options)\n"
        "run_results.whole_file = whole_file\n"
        "call = Segmenter.__call__\n"
        "Segmenter.__call__ = lambda self, frame: call(self, frame)[:2]\n"
        "from edgeblend.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    arguments = ["run", str(small_bundle.path), "pictures", "--out", "out"]
    for number in (0, 3, 5):
        more = ["--resume"] if number else []
        command = [sys.executable, "-c", kill.format(number), *arguments, *more]
        assert subprocess.run(command, capture_output=True, timeout=120).returncode == -signal.SIGKILL
        assert not Path("out/instances.json").exists()
        assert list(read_lines(Path("out/instances.jsonl")))
    assert run("--resume")[0] == 3
    assert content("out") == whole
