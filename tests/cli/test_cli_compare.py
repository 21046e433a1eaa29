"""``edgeblend compare`` on a tiny model, a copy of it and a noisy one: what it says, writes and refuses."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgeblend import errors
from edgeblend.cli import main

pytest.importorskip("openvino")

VOID = {"meta", "img", "path", "rect", "circle", "br"}


@pytest.fixture(scope="module")
def bundles(tiny_bundle, worse_bundle, tmp_path_factory) -> Path:
    """A folder with ``float``, ``copy``, ``noisy`` and ``broken``; tests must not change it."""
    folder = tmp_path_factory.mktemp("bundles")
    for name in ("float", "copy", "broken"):
        shutil.copytree(tiny_bundle.folder, folder / name)
    shutil.copytree(worse_bundle.folder, folder / "noisy")
    (folder / "broken" / "basis.bin").write_bytes(b"cut short")
    return folder


@pytest.fixture(scope="module")
def labels(labelled_pictures) -> list[str]:
    pictures, annotations = labelled_pictures / "pictures", labelled_pictures / "labels.json"
    return ["--images", str(pictures), "--annotations", str(annotations)]


@pytest.fixture(scope="module")
def made(bundles, labels, tmp_path_factory) -> Path:
    """What one comparison of all wrote and printed; tests must not change it."""
    folder = tmp_path_factory.mktemp("made")
    out = folder / "out.txt"
    files = ["--html", str(folder / "page.html"), "--markdown", str(folder / "report.md"), "--pictures", "2"]
    names = [str(bundles / name) for name in ("float", "copy", "noisy", "broken")]
    with pytest.MonkeyPatch.context() as patch, out.open("w") as stream:
        patch.setattr("sys.stdout", stream)
        assert main(["compare", *names, *labels, *files]) == errors.AccuracyError.exit_code == 11
    return folder


@pytest.fixture
def quick(monkeypatch):
    """Without the processes that memory is measured in."""
    monkeypatch.setattr(
        "edgeblend.calibration.evaluation.compare.measure_peak_memory",
        lambda bundle, pictures, **options: 12_300_000,
    )


# What it prints


def test_the_terminal_shows_every_candidate_with_its_status(made):
    text = (made / "out.txt").read_text()
    lines = text.splitlines()
    assert lines[0].startswith("reference: float (")
    assert lines[1].startswith("pictures: 5 pictures of ")
    rows = {
        line.split()[0]: line.split()[1:] for line in lines if re.match(r"(float|copy|noisy|broken) ", line)
    }
    assert set(rows) == {"float", "copy", "noisy", "broken"}
    table = lines[lines.index("") + 1 :][:5]
    assert table[0].split() == ["status", "drop", "box", "AP", "mask", "AP", "boundary", "AP"]
    assert [line.split()[:2] for line in table[1:]] == [
        ["float", "reference"],
        ["copy", "OK"],
        ["noisy", "DROP"],
        ["broken", "FAILED"],
    ]
    assert table[2].split()[2] == "0.00" and table[2].split()[4] == "(0.00)"
    assert len({len(line) for line in table}) == 1  # aligned
    assert "broken failed: " in text and "basis.bin" in text
    assert "Not OK: noisy (DROP), broken (FAILED); allowed is at most 0.5 AP points below" in text
    assert max(map(len, lines)) <= 250


def test_explanations_follow(made):
    text = (made / "out.txt").read_text()
    for name in ("drop:", "AP:", "agreement:", "ms:", "memory:", "SQNR:"):
        assert f"\n{name}" in text


@pytest.mark.usefixtures("quick")
def test_json_has_everything(bundles, labels, cli_json, place):
    report = cli_json(["compare", bundles / "float", bundles / "copy", *labels])
    (copy,) = report["candidates"]
    assert (report["ok"], report["max_drop"], copy["status"], copy["drop"]) == (True, 0.5, "OK", 0)
    assert report["pictures"]["count"] == 5
    assert report["pictures"]["objects"] > 10
    assert set(report["machine"]) == {"processor", "cores", "system", "python"}
    assert copy["ap_change"] == {"box": 0, "mask": 0, "boundary": 0}
    assert set(copy["accuracy"]["mask"]) == {
        "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar", "per_class",
    }  # fmt: skip
    assert set(copy["accuracy"]["boundary"]["per_class"]) == {"cup", "spoon", "table"}
    agreement = copy["agreement"]
    assert (agreement["agreement"], agreement["lost"], agreement["score_drift"]) == (100, 0, 0)
    assert all(output["exact"] and output["db"] is None for output in copy["sqnr"])
    assert (copy["peak_memory"], copy["disagreements"]) == (12_300_000, [])
    assert copy["speed"]["frames"] == report["reference"]["speed"]["frames"] == 4
    assert copy["sessions"]["detector"]["precision"] == "f32"
    assert list(place.iterdir()) == [place / "temp"]


@pytest.mark.usefixtures("quick")
def test_without_labels_agreement_is_what_counts(bundles, labels, cli):
    argv = ["compare", bundles / "float", bundles / "noisy", *labels[:2], "--limit", "2"]
    code, stdout, stderr = cli(argv)
    assert (code, stderr) == (11, "")
    assert "AP" not in stdout
    assert "drop: 100 less the agreement." in stdout
    assert "Not OK: noisy (DROP); allowed is at most 5 below full agreement." in stdout
    code, stdout, _ = cli([*argv, "--max-drop", "100"])
    assert code == 0
    assert stdout.endswith("The candidate is OK: at most 100 below full agreement.\n")


@pytest.mark.usefixtures("quick")
def test_json_of_one_that_dropped_and_one_that_failed(bundles, labels, cli):
    argv = ["compare", *(bundles / name for name in ("float", "noisy", "broken")), *labels, "--json"]
    code, stdout, stderr = cli(argv)
    assert (code, stderr) == (11, "")
    noisy, broken = json.loads(stdout)["candidates"]
    assert noisy["status"] == "DROP"
    assert noisy["drop"] == max(-noisy["ap_change"]["box"], -noisy["ap_change"]["mask"]) > 0.5
    assert not any(output["exact"] for output in noisy["sqnr"])
    assert noisy["disagreements"][0]["objects"] > 0
    assert (broken["status"], broken["drop"]) == ("FAILED", None)
    assert "basis.bin" in broken["reason"]
    assert "accuracy" not in broken


@pytest.mark.usefixtures("quick")
def test_one_bundle_with_other_options(bundles, labels, cli_json, cli):
    one = f"{bundles / 'float'}@threads=1,property.PERFORMANCE_HINT=LATENCY"
    argv = ["compare", bundles / "float", one, *labels[:2], "--limit", "1", "--threads", "2"]
    report = cli_json(argv)
    (candidate,) = report["candidates"]
    assert candidate["name"] == "float@threads=1,property.PERFORMANCE_HINT=LATENCY"
    assert candidate["path"] == report["reference"]["path"] == str(bundles / "float")
    assert report["reference"]["options"] == {
        "backend": None, "device": "CPU", "precision": "f32", "threads": 2, "properties": {},
    }  # fmt: skip
    assert candidate["options"]["threads"] == candidate["sessions"]["detector"]["threads"] == 1
    assert candidate["options"]["properties"] == {"PERFORMANCE_HINT": "LATENCY"}
    stdout = cli(argv)[1]
    assert re.search(r"^engine of float: openvino \S+ on CPU, 2 threads$", stdout, re.MULTILINE)
    line = r"^engine of float@threads=1,\S+: openvino \S+ on CPU, 1 thread, PERFORMANCE_HINT=LATENCY$"
    assert re.search(line, stdout, re.MULTILINE)


# What it writes


def test_only_what_was_asked_for_is_written(made):
    assert sorted(path.name for path in made.iterdir()) == ["out.txt", "page.html", "report.md"]
    text = (made / "out.txt").read_text()
    assert text.endswith(f"written: {made / 'report.md'}\nwritten: {made / 'page.html'}\n")


def test_markdown_tables_are_whole(made):
    text = (made / "report.md").read_text()
    assert text.startswith("# edgeblend compare\n\nNot OK: noisy (DROP), broken (FAILED)")
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 7  # accuracy, agreement, speed, noise, three breakdowns
    for block in blocks:
        assert re.fullmatch(r"\| :--- (\| ---: )+\|", block[1])
        assert len({row.count("|") for row in block}) == 1
    assert re.search(r"\| copy \| OK \| 0\.00 \| \d+\.\d\d \(0\.00\) \|", text)


class _Page(HTMLParser):
    """Collects what a page refers to, its text, and checks that its tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.links, self.headings, self.open, self.pictures, self.cells = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag == "img":
            self.pictures.append((named["alt"], int(named["width"]), int(named["height"])))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def test_the_page_holds_everything_itself(made):
    text = (made / "page.html").read_text()
    page = _Page(text)
    assert len(page.links) == 2 * 2  # of each of two pictures, the reference's and the noisy one's
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)
    for word in ("://", "@import", "url(", "<script", "<link"):
        assert word not in text


def test_the_page_has_tables_charts_and_pictures(made):
    text = (made / "page.html").read_text()
    page = _Page(text)
    assert page.headings[0] == "edgeblend compare"
    assert "Mask AP by class: noisy" in page.headings
    assert "Where noisy disagrees most" in page.headings
    assert "Where copy disagrees most" not in page.headings
    assert text.count('<svg class="chart"') == 4  # AP, classes of noisy, noise, times
    for axis in ("average precision, 0 to 100", "change of mask AP, in points", "SQNR, dB"):
        assert axis in text
    assert "milliseconds per frame" in text
    assert "No class has changed." in text  # of the copy
    for cell in ("OK", "DROP", "FAILED", "exact", "boundary AP"):
        assert cell in page.cells
    for alt, width, height in page.pictures:
        assert re.match(r"\d\.png, (reference|noisy)", alt)
        assert width <= 640 and height <= 560


@pytest.mark.usefixtures("quick")
def test_files_are_replaced_when_asked(bundles, labels, cli, refused):
    Path("page.html").write_text("old")
    argv = [
        "compare",
        bundles / "float",
        bundles / "copy",
        *labels[:2],
        "--limit",
        "1",
        "--html",
        "page.html",
    ]
    refused(argv, 9, "page.html: already exists", "--overwrite")
    assert cli([*argv, "--overwrite"])[0] == 0
    assert "edgeblend compare" in Path("page.html").read_text()
    assert sorted(path.name for path in Path().iterdir()) == ["page.html", "temp"]


# What it refuses


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--html", "."], 9, "is a folder"),
        (["--html", "no/page.html"], 9, "there is no folder no"),
        (["--html", "x", "--markdown", "./x"], 9, "both --markdown and --html"),
        (["--pictures", "-1"], 3, "--pictures must be at least 0"),
        (["--max-drop", "-0.5"], 3, "max_drop must be at least 0"),
        (["--limit", "0"], 3, "limit must be at least 1"),
        (["--annotations", "nowhere.json"], 3, "nowhere.json"),
        (["--threads", "0"], 3, "threads must be at least 1"),
    ],
)
def test_wrong_options(more, code, words, bundles, labels, refused):
    refused(["compare", bundles / "float", bundles / "copy", *labels, *more], code, words)


@pytest.mark.parametrize(
    ("candidate", "code", "words"),
    [
        ("copy@threads=many", 2, "copy@threads=many: threads is 'many'"),
        ("copy@speed=2", 2, "unknown option 'speed'"),
        ("copy@threads=0", 3, "threads must be at least 1"),
        ("nowhere@threads=1", 6, "nowhere: no such bundle"),
    ],
)
def test_wrong_options_of_one_bundle(candidate, code, words, bundles, labels, refused):
    refused(["compare", bundles / "float", candidate, *labels], code, words)


def test_a_reference_that_fails(bundles, labels, refused):
    refused(["compare", bundles / "broken", bundles / "copy", *labels], 6, "basis.bin")


def test_no_such_candidate(bundles, labels, refused):
    refused(["compare", bundles / "float", "nowhere", *labels], 6, "nowhere: no such bundle")


def test_no_pictures(bundles, refused):
    refused(["compare", bundles / "float", bundles / "copy", "--images", "temp"], 3, "no pictures found")


def test_labels_need_a_package(bundles, labels, process, one_line):
    argv = ["compare", bundles / "float", bundles / "copy", *labels]
    done = process(argv, blocked=("faster_coco_eval",))
    assert (done.returncode, done.stdout) == (13, "")
    assert one_line(done.stderr)
    assert 'pip install "edgeblend[accuracy]"' in done.stderr


def test_without_labels_a_light_install_is_enough(bundles, labels, process):
    argv = ["compare", bundles / "float", bundles / "copy", *labels[:2], "--limit", "1"]
    done = process(argv, blocked=("faster_coco_eval", "torch", "yaml", "pycocotools"))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("quick")
def test_what_was_measured_is_printed_though_it_cannot_be_written(bundles, labels, cli, monkeypatch):
    def fail(path, data, **options):
        raise errors.OutputError(f"{path}: cannot be written: disk full")

    monkeypatch.setattr("edgeblend.files.staging.write_atomically", fail)
    argv = [
        "compare",
        bundles / "float",
        bundles / "copy",
        *labels[:2],
        "--limit",
        "1",
        "--html",
        "page.html",
    ]
    code, stdout, stderr = cli(argv)
    assert (code, stderr) == (9, "edgeblend: error: page.html: cannot be written: disk full\n")
    assert "The candidate is OK" in stdout
    assert "written:" not in stdout


@pytest.mark.usefixtures("quick")
def test_the_page_of_candidates_that_all_failed(bundles, labels, cli):
    argv = ["compare", bundles / "float", bundles / "broken", *labels, "--limit", "1", "--html", "page.html"]
    assert cli(argv)[0] == 11
    page = _Page(Path("page.html").read_text())
    assert page.headings == ["edgeblend compare", "Result", "Accuracy", "Time, size and memory"] + [
        "What the figures mean"
    ]
    assert "FAILED" in page.cells
