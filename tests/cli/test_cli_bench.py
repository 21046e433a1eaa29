"""``edgeblend bench``: tables, JSON and page, and what it refuses."""

from __future__ import annotations

import dataclasses
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgeblend.calibration.bench.report import (
    STAGES,
    BenchedBundle,
    BenchReport,
    Latency,
    Streaming,
    Times,
)
from edgeblend.calibration.measuring.fresh_start import FreshStart
from edgeblend.calibration.measuring.machine import Machine
from edgeblend.calibration.measuring.setups import RunOptions
from edgeblend.report.bench.document import as_document
from edgeblend.report.bench.page import page
from edgeblend.report.bench.text import explanations, facts, terminal_lines
from edgeblend.runtime.backends.base import SessionInfo

pytest.importorskip("openvino")


def made_up(name="r50", precision="f32", **changes):
    """A bundle whose stages take 1 to 7 ms, 10 and 100 times as long in the percentiles."""
    times = {stage: Times(number, 10.0 * number, 100.0 * number) for number, stage in enumerate(STAGES, 1)}
    session = SessionInfo("engine 1.2", "CPU", "A processor", precision, 4)
    bundle = BenchedBundle(
        name=name,
        path=Path("bundles") / name,
        bytes=36_400_000,
        canvas=(512, 736),
        frame_sizes=((720, 1280),),
        detections=9.5,
        weights={"detector": "fp32", "basis": "fp32"},
        options=RunOptions(),
        sessions={"detector": session, "basis": dataclasses.replace(session, precision="f32")},
        start=FreshStart(0.5, 0.75, 190_600_000),
        latency=Latency(150, times, Times(28.25, 30, 40), Times(25.5, 26, 27), 1.108, Times(3, 4, 5)),
        streaming=Streaming(4, 6, 61.26, 65.0, 0.9424),
    )
    return dataclasses.replace(bundle, **changes)


def report(*bundles, **changes):
    made = BenchReport(
        bundles=bundles or (made_up(), made_up("r50-int8", "int8+f32")),
        frames="the frames of street.mp4",
        num_frames=16,
        score_threshold=None,
        seconds=10.0,
        machine=Machine("A processor", 4, "Linux-6", "3.11.7"),
        features={"AVX2": True, "AVX-512": True, "VNNI": False, "AMX": False},
        notes=("1 of 17 frames left out: b.png: no picture",),
    )
    return dataclasses.replace(made, **changes)


@pytest.fixture
def quick(monkeypatch):
    """Without the processes that starts are measured in."""
    start = FreshStart(1.0, 1.5, 12_300_000)
    monkeypatch.setattr(
        "edgeblend.calibration.bench.bench.measure_fresh_start", lambda *args, **options: start
    )


@pytest.fixture
def argv(small_bundle):
    return ["bench", small_bundle.path, "--seconds", "0.01", "--streams", "1"]


# Tables


def test_the_tables():
    start = FreshStart(0.125, 1.25, None)
    float32 = made_up(canvas=None, frame_sizes=((1, 2), (3, 4)), start=start)
    assert terminal_lines(report(float32, made_up("r50-int8", "int8+f32"))) == [
        "                  -------- r50 --------    ------ r50-int8 -----",
        "ms                median    p90     p99    median    p90     p99",
        "preprocess          1.00  10.00  100.00      1.00  10.00  100.00",
        "detector            2.00  20.00  200.00      2.00  20.00  200.00",
        "decode              3.00  30.00  300.00      3.00  30.00  300.00",
        "attention           4.00  40.00  400.00      4.00  40.00  400.00",
        "basis               5.00  50.00  500.00      5.00  50.00  500.00",
        "blend               6.00  60.00  600.00      6.00  60.00  600.00",
        "assemble            7.00  70.00  700.00      7.00  70.00  700.00",
        "whole frame        28.25  30.00   40.00     28.25  30.00   40.00",
        "graphs alone       25.50  26.00   27.00     25.50  26.00   27.00",
        "whole / graphs     1.11x                    1.11x",
        "rle, on top         3.00   4.00    5.00      3.00   4.00    5.00",
        "frames timed         150                      150",
        "",
        "streaming  frames/s  graphs alone  of graphs alone  streams  in flight",
        "r50            61.3          65.0              94%        4          6",
        "r50-int8       61.3          65.0              94%        4          6",
        "",
        "start      computes in   canvas     frame  found  load s  first s    memory     size",
        "r50                f32  dynamic   2 sizes    9.5    0.12     1.25         -  36.4 MB",
        "r50-int8  int8+f32/f32  512x736  720x1280    9.5    0.50     0.75  190.6 MB  36.4 MB",
    ]


def test_three_bundles_are_abreast_in_100_columns():
    names = ("one", "two", "a-rather-long-name-of-a-bundle", "four")
    lines = terminal_lines(report(*(made_up(name, "int8+f32") for name in names)))
    assert [word for word in lines[0].split() if "--" not in word] == ["one", "two", "...g-name-of-a-bundle"]
    assert lines[15].split() == ["--------", "four", "-------"]
    starts = [line.split()[0] for line in lines[-4:]]
    assert starts == ["one", "two", "...long-name-of-a-bundle", "four"]
    assert max(map(len, lines)) == 100


def test_facts():
    assert facts(report()) == [
        "frames: the frames of street.mp4 (16 taken), 720x1280",
        "note: 1 of 17 frames left out: b.png: no picture",
        "machine: A processor, 4 cores, AVX2, AVX-512 (no VNNI, AMX), Linux-6",
        "engine: engine 1.2 on CPU, 4 threads",
    ]


def test_other_facts():
    sizes = tuple((number, 10) for number in range(5))
    session = SessionInfo("npu 3", "NPU", "A chip", "f16", None)
    bundle = made_up(frame_sizes=sizes, sessions={"detector": session, "basis": made_up().sessions["basis"]})
    made = report(bundle, num_frames=1, score_threshold=0.5, features={}, notes=())
    assert facts(made) == [
        "frames: the frames of street.mp4, 0x10, 1x10, 2x10 and 2 more sizes, scores of at least 0.5",
        "machine: A processor, 4 cores, Linux-6",
        "engine: npu 3 on NPU; engine 1.2 on CPU, 4 threads",
    ]


def test_the_engine_of_each_where_they_differ():
    gpu = SessionInfo("engine 1.2", "GPU", "A card", "f16", None)
    sessions = dict.fromkeys(("detector", "basis"), gpu)
    options = RunOptions(device="GPU", properties={"HINT": "LATENCY"})
    other = made_up("r50@device=GPU", sessions=sessions, options=options)
    assert facts(report(made_up(), other))[-2:] == [
        "engine of r50: engine 1.2 on CPU, 4 threads",
        "engine of r50@device=GPU: engine 1.2 on GPU, HINT=LATENCY",
    ]
    document = as_document(report(made_up(), other))["bundles"][1]
    assert document["options"] == {
        "backend": None, "device": "GPU", "precision": "f32", "threads": None,
        "properties": {"HINT": "LATENCY"},
    }  # fmt: skip


def test_explanations_name_what_the_tables_show():
    text = " ".join(explanations(report()))
    for word in ("p99", "graphs alone", "whole / graphs", "rle", "streaming", "found", "load s", "first s"):
        assert word in text


# What it prints


@pytest.mark.usefixtures("quick")
def test_the_terminal(argv, cli):
    code, stdout, stderr = cli(argv)
    assert (code, stderr) == (0, "")
    lines = stdout.splitlines()
    assert lines[0] == "frames: the photograph that comes with edgeblend, 64x96"
    assert lines[1].startswith("machine: ")
    words = [line.split("  ")[0] for line in lines]
    for stage in STAGES:
        assert words.count(stage) == 1
    assert words.index("whole frame") < words.index("streaming") < words.index("start")
    assert any(word.startswith("graphs alone: ") for word in words)
    assert max(map(len, lines)) <= 100


@pytest.mark.usefixtures("quick")
def test_json_has_everything(argv, small_pictures, cli_json, small_bundle, place):
    document = cli_json(
        [*argv, "--images", small_pictures, "--frame-size", "48x64", "--score-threshold", "0.3"]
    )
    assert set(document) == {"edgeblend", "machine", "frames", "seconds", "bundles"}
    assert set(document["machine"]) == {"processor", "cores", "system", "python", "features"}
    assert document["frames"] == {
        "source": f"the 6 pictures of {small_pictures}",
        "count": 6,
        "score_threshold": 0.3,
        "notes": [],
    }
    (bundle,) = document["bundles"]
    assert (bundle["name"], bundle["path"]) == ("small", str(small_bundle.path))
    assert (bundle["canvas"], bundle["frame_sizes"]) == ([64, 96], [[48, 64]])
    assert list(bundle["latency_ms"]["stages"]) == list(STAGES)
    assert set(bundle["latency_ms"]) == {"frames", "stages", "frame", "graphs", "over_graphs", "rle"}
    assert set(bundle["latency_ms"]["rle"]) == {"median", "p90", "p99"}
    assert (bundle["streaming"]["streams"], bundle["streaming"]["in_flight"]) == (1, 3)
    assert bundle["sessions"]["detector"]["precision"] == "f32"
    assert bundle["start"] == {"load_s": 1.0, "first_result_s": 1.5, "peak_memory": 12_300_000}
    assert list(place.iterdir()) == [place / "temp"]


def test_json_says_what_the_report_says():
    document = as_document(report())
    first, second = document["bundles"]
    assert (first["detections"], second["sessions"]["detector"]["precision"]) == (9.5, "int8+f32")
    assert first["latency_ms"]["over_graphs"] == 1.108
    assert first["latency_ms"]["stages"]["blend"] == {"median": 6, "p90": 60.0, "p99": 600.0}
    assert first["streaming"]["of_graphs"] == 0.9424
    assert document["machine"]["features"]["VNNI"] is False


@pytest.mark.usefixtures("quick")
def test_one_bundle_with_other_options(argv, small_bundle, cli_json):
    one = f"{small_bundle.path}@threads=1,name=alone"
    document = cli_json([*argv[:2], one, *argv[2:], "--threads", "2"])
    assert [item["name"] for item in document["bundles"]] == ["small", "alone"]
    assert [item["options"]["threads"] for item in document["bundles"]] == [2, 1]
    assert [item["sessions"]["detector"]["threads"] for item in document["bundles"]] == [2, 1]


# The page


class _Page(HTMLParser):
    """Collects links, headings and rows, and checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.links, self.headings, self.rows, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag == "tr":
            self.rows.append([])
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def test_the_page_holds_everything_itself():
    text = page(report(made_up(), made_up("<int8> & co")))
    shown = _Page(text)
    assert shown.headings == [
        "edgeblend bench",
        "One frame at a time",
        "Around the graphs",
        "Streaming",
        "Start and memory",
        "What the figures mean",
    ]
    assert shown.links == []
    for word in ("://", "@import", "url(", "<script", "<link"):
        assert word not in text
    assert text.count('<svg class="chart"') == 3
    assert shown.rows[0] == ["r50", "<int8> & co"]
    assert ["detector", "2.00", "20.00", "200.00", "2.00", "20.00", "200.00"] in shown.rows
    assert ["r50", "61.3", "65.0", "94%", "4", "6"] in shown.rows
    assert "28.2 ms, 1.11x graphs" in text
    assert ">21.00 ms<" in text  # 1 + 3 + 4 + 6 + 7: without detector and basis


@pytest.mark.usefixtures("quick")
def test_a_page_is_replaced_when_asked(argv, cli, refused):
    Path("speed.html").write_text("old")
    argv = [*argv, "--html", "speed.html"]
    refused(argv, 9, "speed.html: already exists", "--overwrite")
    assert Path("speed.html").read_text() == "old"
    code, stdout, stderr = cli([*argv, "--overwrite"])
    assert (code, stderr) == (0, "")
    assert stdout.endswith("\nwritten: speed.html\n")
    assert "One frame at a time" in Path("speed.html").read_text()
    assert sorted(path.name for path in Path().iterdir()) == ["speed.html", "temp"]


@pytest.mark.usefixtures("quick")
def test_what_was_measured_is_printed_though_the_page_cannot_be_written(argv, cli, monkeypatch):
    from edgeblend.errors import OutputError

    def fail(path, data, **options):
        raise OutputError(f"{path}: cannot be written: the disk is full")

    monkeypatch.setattr("edgeblend.files.staging.write_atomically", fail)
    code, stdout, stderr = cli([*argv, "--html", "speed.html"])
    assert code == 9
    assert "whole frame" in stdout and "written" not in stdout
    assert stderr == "edgeblend: error: speed.html: cannot be written: the disk is full\n"


# What is refused


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--html", "."], 9, "is a folder"),
        (["--html", "nowhere/speed.html"], 9, "no folder nowhere"),
        (["--images", "nowhere"], 3, "nowhere: no such file or folder"),
        (["--images", "temp"], 3, "no pictures found"),
        (["--frame-size", "720"], 2, "expected HxW such as 512x736, got '720'"),
        (["--frame-size", "0x1"], 3, "frame_size: expected"),
        (["--seconds", "0"], 3, "seconds must be above 0"),
        (["--streams", "0"], 3, "streams must be at least 1"),
        (["--score-threshold", "2"], 3, "score_threshold must be"),
    ],
)
def test_wrong_options(more, code, words, argv, refused, monkeypatch):
    def fail(*args, **options):
        raise AssertionError("work has begun")

    monkeypatch.setattr("edgeblend.calibration.bench.bench.measure_fresh_start", fail)
    refused([*argv, *more], code, words)


def test_without_bundles(refused):
    refused(["bench"], 2, "the following arguments are required: bundle")


def test_bundles_that_cannot_be_run(small_bundle, argv, refused, place):
    refused([*argv, "--device", "NPU.7"], 7, f"{small_bundle.path}: device NPU.7 is not there")
    shutil.copytree(small_bundle.folder, place / "broken")
    (place / "broken" / "basis.bin").write_bytes(b"cut short")
    refused([*argv[:2], "broken"], 6, "broken", "basis.bin")
    refused([*argv[:2], "nowhere"], 6, "nowhere: no such bundle")
