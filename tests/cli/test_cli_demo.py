"""``edgeblend demo`` on a tiny model, whose own findings are the labels it is measured on."""

import json
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_model import CLASS_NAMES

from edgeblend import Bundle, Segmenter
from edgeblend.cli import main
from edgeblend.demo import data as demo_data
from edgeblend.demo import models as demo_models
from edgeblend.demo import pictures as demo_pictures

PICTURES, FRAMES = 5, 8


@pytest.fixture(scope="session")
def data(tiny_model, tiny_bundle, photograph, tmp_path_factory) -> Path:
    """A folder laid out like the shipped one; tests must not change it."""
    folder = tmp_path_factory.mktemp("demo-data")
    shutil.copy(tiny_model.config, folder / "config.yaml")
    save_file(
        {name: np.ascontiguousarray(v) for name, v in tiny_model.state.items()}, folder / "model.safetensors"
    )
    (folder / "classes.txt").write_text("\n".join(CLASS_NAMES) + "\n")
    (folder / "val").mkdir()
    document = {"images": [], "annotations": [], "categories": []}
    document["categories"] = [{"id": i, "name": name} for i, name in enumerate(CLASS_NAMES, 1)]
    with Segmenter.load(tiny_bundle) as segmenter:
        for number in range(1, PICTURES + 1):
            picture = photograph[: 400 - 8 * number, : 600 - 16 * number]
            cv2.imwrite(str(folder / "val" / f"{number}.png"), picture)
            height, width = picture.shape[:2]
            image = {"id": number, "file_name": f"{number}.png", "width": width, "height": height}
            document["images"].append(image)
            document["annotations"] += [
                {"iscrowd": 0, **found} for found in segmenter(picture).to_coco(number) if found["area"]
            ]
    for number, annotation in enumerate(document["annotations"], 1):
        annotation["id"] = number
    (folder / "val.json").write_bytes(msgspec.json.encode(document))
    (folder / "calibration").mkdir()
    for number in range(4):
        cropped = photograph[60 * number : 60 * number + 200, 80 * number : 80 * number + 280]
        cv2.imwrite(str(folder / "calibration" / f"{number}.png"), cropped)
    (folder / "int8.json").write_text('{"name": "quick", "bias_correction": "none"}')
    small = cv2.resize(photograph, (120, 80))
    writer = cv2.VideoWriter(str(folder / "video.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 12.5, (112, 80))
    for step in range(FRAMES):
        writer.write(np.ascontiguousarray(small[:, step : step + 112]))
    writer.release()
    return folder


@pytest.fixture(scope="module")
def made(data, tmp_path_factory) -> Path:
    """A demo's folder; tests must not change it."""
    out = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "--data", str(data), "--out", str(out)]) == 0
    return out


@pytest.fixture
def listing(made) -> dict:
    return json.loads((made / "demo.json").read_text())


@pytest.fixture
def comparison(made) -> dict:
    return json.loads((made / "comparison.json").read_text())


@pytest.fixture
def args(data):
    return ["demo", "--data", str(data), "--out", "out"]


# What it makes


def test_what_is_in_the_folder(made, listing):
    assert sorted(path.name for path in made.iterdir()) == [
        "bundle",
        "bundle-int8",
        "comparison.html",
        "comparison.json",
        "demo.json",
        "index.html",
        "pictures",
        "video.webm",
    ]
    found = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert set(listing["files"]) == found
    assert [path.name for path in made.parent.iterdir()] == ["out"]


def test_the_bundle_is_whole_and_verified(made, listing):
    bundle = Bundle.load(made / "bundle")
    assert bundle.manifest.things == CLASS_NAMES
    assert listing["verification"] == json.loads(msgspec.json.encode(bundle.manifest.verification))
    assert (made / listing["bundle"]).is_dir()


def test_the_comparison(made, comparison):
    reference, (torch,), (int8,) = (comparison[key] for key in ("reference", "beside", "candidates"))
    assert (reference["name"], reference["path"]) == ("OpenVINO fp32", str(made / "bundle"))
    assert torch["name"] == "torch fp32"
    assert (int8["name"], int8["path"]) == ("OpenVINO int8", str(made / "bundle-int8"))
    assert int8["sessions"]["detector"]["precision"] == "int8+f32"
    assert torch["sessions"]["detector"]["engine"].startswith("torch ")
    assert int8["bytes"] < reference["bytes"] / 2
    assert comparison["pictures"]["count"] == PICTURES
    assert comparison["pictures"]["objects"] >= 3 * PICTURES
    for item in (torch, reference):  # their own findings are the labels
        assert item["accuracy"]["box"]["ap"] > 95
        assert item["accuracy"]["mask"]["ap"] > 95
        assert set(item["accuracy"]["mask"]["per_class"]) == set(CLASS_NAMES)
        assert item["speed"]["frames"] == PICTURES - 1
        assert 0 < item["speed"]["graphs_ms"] < item["speed"]["frame_ms"]
        assert item["sessions"]["detector"]["precision"] == "f32"
    assert torch["agreement"]["agreement"] > 99


def test_sizes(made, comparison):
    files = [path for path in (made / "bundle").iterdir() if path.name != "manifest.json"]
    assert comparison["reference"]["bytes"] == sum(path.stat().st_size for path in files)


def test_the_pictures_are_drawn_at_twice_their_size(made, listing):
    assert [picture["source"] for picture in listing["pictures"]] == [f"{i}.png" for i in range(1, 6)]
    drawn = cv2.imread(str(made / "pictures" / "1.jpg"))
    assert drawn.shape == (2 * 392, 2 * 584, 3)
    assert all(
        found["score"] >= demo_pictures.SHOWN_SCORE for p in listing["pictures"] for found in p["found"]
    )


def test_the_video(made, listing):
    assert listing["video"] == {
        "file": "video.webm",
        "codec": "VP8",
        "frames": FRAMES,
        "frames_per_second": 12.5,
    }
    video = cv2.VideoCapture(str(made / "video.webm"))
    assert video.read()[1].shape == (160, 224, 3)


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links: list[str] = []
        self.cells: list[str] = []
        self._in_cell = False

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("href", "src")]
        self._in_cell = tag in ("td", "th")

    def handle_endtag(self, tag):
        self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            self.cells.append(data)


def test_the_page_links_to_files_of_the_folder_alone(made):
    page = _Links()
    page.feed((made / "index.html").read_text())
    pictures = {f"pictures/{i}.jpg" for i in range(1, 6)}
    assert set(page.links) == {"comparison.html", "comparison.json", "video.webm", *pictures}
    assert all((made / link).is_file() for link in page.links)
    assert "://" not in (made / "index.html").read_text()


def test_the_page_shows_the_tables_of_the_comparison(made):
    page, whole = _Links(), _Links()
    page.feed((made / "index.html").read_text())
    whole.feed((made / "comparison.html").read_text())
    assert page.cells[:5] == ["status", "drop", "box AP", "mask AP", "boundary AP"]
    assert "torch fp32" in page.cells and "frames/s" in page.cells
    assert len(page.cells) > 20
    assert set(page.cells) < set(whole.cells)


def test_the_page_of_the_comparison_says_where_the_bundles_are(made):
    text = (made / "comparison.html").read_text()
    assert f"reference: OpenVINO fp32 ({made / 'bundle'})" in text
    assert "beside: measured in the same turns" in text
    assert "engine of torch fp32: torch " in text


# What it says


def test_with_the_shipped_data_json_is_what_is_written(data, made, cli_json, monkeypatch):
    monkeypatch.setattr(demo_data, "_installed", lambda: data)
    report = cli_json(["demo", "--limit", "1"])
    out = Path("edgeblend-demo")
    assert report.pop("out") == str(out)
    comparison = report.pop("comparison")
    assert comparison == json.loads((out / "comparison.json").read_text())
    assert report == json.loads((out / "demo.json").read_text())
    assert comparison["pictures"]["count"] == 1
    words = "the drawings are those of training"  # which is not known of other data
    assert words in (out / "index.html").read_text()
    assert words not in (made / "index.html").read_text()


def test_an_earlier_demo_is_replaced_when_asked_with_lines_for_people(args, made, cli, refused):
    shutil.copytree(made, "out")
    refused(args, 9, "out: already exists", "--overwrite")
    code, stdout, stderr = cli([*args, "--overwrite", "--limit", "2"])
    assert (code, stderr) == (0, "")
    heading, openvino, torch, int8 = stdout.splitlines()[:4]
    assert heading.split() == ["status", "drop", "box", "AP", "mask", "AP", "boundary", "AP"]
    assert openvino.startswith("OpenVINO fp32 ")
    assert torch.startswith("torch fp32 ")
    assert int8.startswith("OpenVINO int8 ")
    assert len(heading) == len(torch) == len(openvino) == len(int8)
    for made_file in ("index.html", "video.webm", "bundle", "comparison.html", "demo.json"):
        assert str(Path("out", made_file)) in stdout
    assert f"edgeblend run {Path('out', 'bundle-int8')} " in stdout
    assert json.loads(Path("out", "comparison.json").read_text())["pictures"]["count"] == 2
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


# What it refuses


def test_a_file_of_ones_own_among_an_earlier_demo_is_kept(args, made, refused):
    shutil.copytree(made, "out")
    Path("out", "pictures", "mine.txt").write_text("precious")
    refused([*args, "--overwrite"], 9, "pictures/mine.txt", "did not write")


def test_something_else_is_not_overwritten(args, refused):
    Path("out").mkdir()
    Path("out", "thesis.txt").write_text("precious")
    refused([*args, "--overwrite"], 9, "thesis.txt", "did not write")


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "classes.txt", "val.json", "video.mp4"])
def test_data_that_are_incomplete(name, data, args, tmp_path, refused):
    shutil.copytree(data, tmp_path / "copy")
    (tmp_path / "copy" / name).unlink()
    refused(
        ["demo", "--data", tmp_path / "copy", "--out", "out"], 3, f"lacks {name}", "a demo's folder holds"
    )


def test_data_without_calibration_pictures(data, tmp_path, refused):
    shutil.copytree(data, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "calibration")
    refused(["demo", "--data", tmp_path / "copy", "--out", "out"], 3, "lacks calibration/")


def test_no_data(refused):
    refused(["demo", "--data", "nowhere"], 3, "nowhere: no such folder")


def test_data_that_were_not_installed(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "edgeblend.demo_data", None)
    refused(["demo"], 3, "not installed", "pip install")


def test_a_video_that_is_none(data, tmp_path, refused):
    shutil.copytree(data, tmp_path / "copy")
    (tmp_path / "copy" / "video.mp4").write_text("no video")
    refused(["demo", "--data", tmp_path / "copy"], 3, "video.mp4", "reads no frame")


@pytest.mark.parametrize("count", ["0", "-3"])
def test_no_pictures_to_measure_on(count, args, refused):
    refused([*args, "--limit", count], 3, "limit must be at least 1", count)


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("torch", "torch"),
        ("openvino", "openvino"),
        ("yaml", "pyyaml"),
        ("faster_coco_eval", "faster-coco-eval"),
    ],
)
def test_without_a_package(module, package, args, process, one_line):
    done = process(args, blocked=(module,))
    assert (done.returncode, done.stdout) == (13, "")
    assert one_line(done.stderr)
    assert f"needs {package}, not installed here" in done.stderr
    assert 'pip install "edgeblend[demo]"' in done.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize("failure", [RuntimeError("broken"), KeyboardInterrupt()])
def test_a_failure_on_the_way_leaves_nothing(failure, args, cli, monkeypatch, place, tree):
    def fail(data, folder, say):
        (folder / "half").write_text("half written")
        raise failure

    monkeypatch.setattr(demo_models, "convert_model", fail)
    before = tree(place)
    code, stdout, stderr = cli(args)
    assert code == (130 if isinstance(failure, KeyboardInterrupt) else 1)
    assert (stdout, stderr.count("\n")) == ("", 1)
    assert tree(place) == before
