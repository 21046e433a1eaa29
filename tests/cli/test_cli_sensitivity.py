"""``edgeblend sensitivity``: table, JSON and page, and what it refuses."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgeblend.calibration.evaluation.sqnr import OutputSqnr

pytest.importorskip("openvino")
pytest.importorskip("nncf")

from small_bundle import BASIS_LAYERS, DETECTOR_LAYERS  # noqa: E402 - as above

from edgeblend.converters.quantize.probe import LayerSensitivity  # noqa: E402

LAYERS = {*DETECTOR_LAYERS, *BASIS_LAYERS}


@pytest.fixture
def argv(small_bundle, small_pictures):
    return ["sensitivity", small_bundle.path, "--calibration", small_pictures, "--compare-on", "2"]


@pytest.fixture
def made_up(monkeypatch):
    """Layers as the measurement returns them, without it."""
    found = [
        LayerSensitivity(
            "detector",
            "proposal_generator.head<1>",
            -math.inf,
            (OutputSqnr("detector", "cls_logits", "p3", -math.inf),),
            None,
        ),
        LayerSensitivity(
            "detector",
            "backbone.stem",
            12.345,
            (
                OutputSqnr("detector", "cls_logits", "p3", 10.5),
                OutputSqnr("detector", "box_reg", "p3", 17.25),
            ),
            1.5,
        ),
        LayerSensitivity("basis", "tower", math.inf, (OutputSqnr("basis", "bases", None, math.inf),), 0.0),
    ]
    monkeypatch.setattr(
        "edgeblend.converters.quantize.sensitivity.measure_sensitivity", lambda *args, **options: found
    )
    return found


def only_notes(stderr):
    """Six frames are few, which is said."""
    return bool(stderr) and all(line.startswith("edgeblend: note: ") for line in stderr.splitlines())


def test_the_table_has_the_worst_first(argv, cli):
    code, stdout, stderr = cli(argv)
    assert (code, only_notes(stderr)) == (0, True)
    head, *rows = [re.split(r"  +", line) for line in stdout.splitlines()]
    assert head == ["layer", "graph", "SQNR, dB", "worst output", "its dB"]
    assert {row[0] for row in rows} == LAYERS
    assert len(rows) == len(LAYERS)
    costs = [float(row[2]) for row in rows]
    assert costs == sorted(costs)
    by_name = {row[0]: row for row in rows}
    assert by_name["head.cls_logits"][1:4:2] == ["detector", "cls_logits p3"]
    assert by_name["basis_module.tower.0"][1:4:2] == ["basis", "bases"]


def test_json(argv, small_bundle, cli):
    code, stdout, stderr = cli([*argv, "--json"])
    assert (code, only_notes(stderr)) == (0, True)
    report = json.loads(stdout)
    assert [f"edgeblend: note: {note}" for note in report["notes"]] == stderr.splitlines()
    assert report["bundle"] == str(small_bundle.path)
    assert {layer["layer"] for layer in report["layers"]} == LAYERS
    for layer in report["layers"]:
        assert set(layer) == {"graph", "layer", "sqnr_db", "outputs", "drop"}
        assert layer["drop"] is None
    outputs = {layer["layer"]: set(layer["outputs"]) for layer in report["layers"]}
    assert outputs["basis_module.tower.0"] == {"bases"}
    assert outputs["head.cls_logits"] == {
        "cls_logits p3",
        "box_reg p3",
        "centerness p3",
        "attention_features p3",
        "pyramid p3",
    }
    assert list(Path().iterdir()) == [Path("temp")]
    assert list(Path("temp").iterdir()) == []


class _Page(HTMLParser):
    """Collects links, headings and cells, and checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.links, self.headings, self.cells, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href")]
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
            self.cells.append(data)


def test_the_page_holds_everything_itself(argv, cli):
    code, stdout, stderr = cli([*argv, "--html", "layers.html"])
    assert (code, only_notes(stderr)) == (0, True)
    assert stdout.endswith("\nwritten: layers.html\n")
    text = Path("layers.html").read_text()
    page = _Page(text)
    assert page.headings == ["Sensitivity of small", "Layer by layer", "Figures"]
    assert page.links == []
    for word in ("://", "@import", "url(", "<script", "<link"):
        assert word not in text
    assert text.count('<svg class="chart"') == 1
    assert set(page.cells) >= LAYERS
    assert "by the recipe int8" in text


@pytest.mark.usefixtures("made_up")
def test_precision_that_is_lost_and_figures_that_are_not_finite(cli, argv):
    code, stdout, stderr = cli([*argv, "--html", "layers.html"])
    assert (code, only_notes(stderr)) == (0, True)
    rows = [re.split(r"  +", line) for line in stdout.splitlines()[:4]]
    assert rows == [
        ["layer", "graph", "SQNR, dB", "worst output", "its dB", "AP lost"],
        ["proposal_generator.head<1>", "detector", "noise alone", "cls_logits p3", "noise alone", "-"],
        ["backbone.stem", "detector", "12.3", "cls_logits p3", "10.5", "1.50"],
        ["tower", "basis", "exact", "bases", "exact", "0.00"],
    ]
    page = _Page(Path("layers.html").read_text())
    assert "proposal_generator.head<1>" in page.cells  # escaped on its way
    report = json.loads(cli([*argv, "--json"])[1])
    assert [layer["sqnr_db"] for layer in report["layers"]] == [None, 12.35, None]
    assert report["layers"][1]["outputs"] == {"cls_logits p3": 10.5, "box_reg p3": 17.25}
    assert json.dumps(report).count("Infinity") == 0


@pytest.mark.usefixtures("made_up")
def test_a_page_is_replaced_when_asked(argv, cli, refused):
    Path("layers.html").write_text("old")
    argv = [*argv, "--html", "layers.html"]
    refused(argv, 9, "layers.html: already exists", "--overwrite")
    assert Path("layers.html").read_text() == "old"
    assert cli([*argv, "--overwrite"])[0] == 0
    assert "Layer by layer" in Path("layers.html").read_text()
    assert sorted(path.name for path in Path().iterdir()) == ["layers.html", "temp"]


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--html", "."], 9, "is a folder"),
        (["--html", "nowhere/layers.html"], 9, "no folder nowhere"),
        (["--recipe", "int4"], 3, "int4: no such recipe"),
        (["--calibration", "nowhere"], 3, "nowhere"),
        (["--compare-on", "0"], 3, "frames must be at least 1"),
        (["--images", "temp"], 3, "name their annotations"),
        (["--annotations", "nowhere.json"], 3, "nowhere.json"),
    ],
)
def test_wrong_options(more, code, words, argv, refused):
    refused([*argv, *more], code, words)


def test_bundles_that_are_refused(argv, small_int8, refused, monkeypatch):
    def fail(*args, **options):
        raise AssertionError("frames are chosen")

    monkeypatch.setattr("edgeblend.calibration.sampling.sample.sample_frames", fail)
    refused(["sensitivity", "nowhere", *argv[2:]], 6, "nowhere: no such bundle")
    refused(["sensitivity", small_int8.path, *argv[2:]], 3, "is quantized already")
