"""``edgeblend run``: what becomes of pictures of all kinds."""

import json
import os
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from edgeblend import Segmenter
from edgeblend.errors import EngineError


@pytest.fixture
def segment(bundle, place, cli_json):
    """Run the bundle over pictures; return the report and the COCO document."""

    def run(*pictures, more=()):
        report = cli_json(["run", bundle, *pictures, "--out", "out", *more])
        return report, read_instances()

    return run


def read_instances(out="out"):
    return json.loads(Path(out, "instances.json").read_text())


def overlays(out="out"):
    return sorted(path.name for path in Path(out, "overlays").iterdir())


def write(name, data):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(data)


def encode(suffix, image):
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


# One good picture


def test_the_report(picture, bundle, segment):
    report, _ = segment(picture)
    assert set(report) == {"out", "info", "pictures", "failures", "notes"}
    assert (report["out"], report["failures"], report["notes"]) == ("out", [], [])
    info = report["info"]
    assert (info["config"], info["target"], info["canvas"]) == ("tiny.yaml", "openvino", [160, 224])
    assert info["parts"]["detector"]["device"] == "CPU"
    assert info["parts"]["basis"]["precision"] == "f32"
    (entry,) = report["pictures"]
    assert entry["file"] == str(picture)
    assert entry["instances"] >= 3
    assert set(entry["timings_ms"]) >= {"preprocess", "detector", "decode", "basis", "blend", "assemble"}


def test_options_reach_the_engine(picture, segment):
    report, _ = segment(picture, more=("--threads", "1", "--paste", "unclipped", "--cache-dir", "cache"))
    assert report["info"]["paste"] == "unclipped"
    assert report["info"]["parts"]["detector"]["threads"] == 1
    assert any(Path("cache").iterdir())


def test_results_are_those_of_the_segmenter(picture, photograph, bundle, segment):
    with Segmenter.load(bundle) as segmenter:
        instances = segmenter(photograph)
    _, document = segment(picture)
    found = document["annotations"]
    assert len(found) == len(instances) >= 3
    for annotation, box, score, mask in zip(
        found, instances.boxes, instances.scores, instances.masks(), strict=True
    ):
        x0, y0, x1, y1 = box.tolist()
        assert annotation["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=1e-3)
        assert annotation["score"] == pytest.approx(float(score), abs=1e-5)
        assert np.array_equal(coco_mask.decode(rle(annotation)), mask)


def rle(annotation):
    counts = annotation["segmentation"]["counts"]
    return {**annotation["segmentation"], "counts": counts.encode() if isinstance(counts, str) else counts}


def test_coco_reads_the_document(picture, photograph, segment, capsys):
    cv2.imwrite("half.png", cv2.resize(photograph, (300, 200), interpolation=cv2.INTER_AREA))
    segment(picture, "half.png")
    coco = COCO("out/instances.json")
    capsys.readouterr()
    assert [coco.imgs[image]["file_name"] for image in sorted(coco.imgs)] == [str(picture), "half.png"]
    assert [(i["height"], i["width"]) for i in coco.loadImgs([1, 2])] == [(400, 600), (200, 300)]
    assert {c["id"]: c["name"] for c in coco.cats.values()} == {1: "cup", 2: "spoon", 3: "table"}
    assert len(coco.anns) == len({a["id"] for a in coco.anns.values()}) >= 4
    for annotation in coco.anns.values():
        mask = coco.annToMask(annotation)
        assert mask.shape == (400, 600) if annotation["image_id"] == 1 else (200, 300)
        assert mask.sum() == annotation["area"]
        assert annotation["category_id"] in coco.cats


def test_overlays_have_the_size_of_the_frame(picture, photograph, segment):
    segment(picture)
    overlay = cv2.imread("out/overlays/coffee.jpg")
    assert overlay.shape == photograph.shape
    assert (np.abs(overlay.astype(int) - photograph) > 60).any()


def test_without_overlays(picture, segment):
    segment(picture, more=("--no-overlays",))
    assert sorted(path.name for path in Path("out").iterdir()) == ["instances.json", "instances.jsonl"]


def test_lines_for_people(picture, bundle, cli):
    cv2.imwrite("black.png", np.zeros((40, 60, 3), np.uint8))
    code, stdout, stderr = cli(["run", bundle, picture, "black.png", "--out", "out"])
    assert (code, stderr) == (0, "")
    first, second = stdout.splitlines()
    assert first.startswith(f"{picture}: ")
    assert " instances (" in first
    assert second.startswith("black.png: ")
    assert first.endswith(" ms")


def test_a_frame_without_detections_is_an_ordinary_result(picture, photograph, segment):
    report, document = segment(picture, more=("--score-threshold", "0.99"))
    assert [entry["instances"] for entry in report["pictures"]] == [0]
    assert (len(document["images"]), document["annotations"]) == (1, [])
    assert cv2.imread("out/overlays/coffee.jpg").shape == photograph.shape


def test_nothing_detected_is_said(picture, bundle, cli):
    stdout = cli(["run", bundle, picture, "--out", "out", "--score-threshold", "0.99"])[1]
    assert "nothing detected" in stdout


# Pictures of all kinds


def test_kinds_of_pictures(photograph, segment):
    grey = cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY)
    kinds = {
        "grey.png": grey,
        "rgba.png": np.dstack([photograph, np.full(grey.shape, 128, np.uint8)]),
        "deep.png": photograph.astype(np.uint16) * 257,
        "deep_grey.tiff": grey.astype(np.uint16) * 257,
        "dot.png": np.full((1, 1, 3), 200, np.uint8),
        "line.png": np.full((1, 5000, 3), 200, np.uint8),
        "column.png": np.full((5000, 1, 3), 200, np.uint8),
        "photo.webp": photograph,
    }
    for name, image in kinds.items():
        write(name, encode(Path(name).suffix, image))
    report, document = segment(*kinds)
    assert report["failures"] == []
    assert {i["file_name"]: (i["height"], i["width"]) for i in document["images"]} == {
        name: image.shape[:2] for name, image in kinds.items()
    }
    counts = {entry["file"]: entry["instances"] for entry in report["pictures"]}
    assert counts["rgba.png"] == counts["deep.png"] >= 3
    assert counts["grey.png"] == counts["deep_grey.tiff"]
    for name, image in kinds.items():
        assert cv2.imread(f"out/overlays/{Path(name).stem}.jpg").shape[:2] == image.shape[:2]


def test_a_rotated_jpeg_is_upright(photograph, segment):
    turned = Image.fromarray(np.rot90(photograph)[..., ::-1])  # a quarter counterclockwise: turn it clockwise
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save("turned.jpg", exif=exif, quality=98)
    assert cv2.imread("turned.jpg", cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_COLOR).shape == (600, 400, 3)
    report, document = segment("turned.jpg")
    assert (document["images"][0]["height"], document["images"][0]["width"]) == (400, 600)
    assert report["pictures"][0]["instances"] >= 3
    assert cv2.imread("out/overlays/turned.jpg").shape == (400, 600, 3)


def test_equal_names_keep_their_overlays(photograph, segment):
    for name in ("a/x.png", "b/x.png", "b/x.jpg", "b/X.png", "b/x-2.png"):
        write(name, encode(Path(name).suffix, photograph[:64, :64]))
    segment("a", "b")
    assert len(overlays()) == 5
    assert len({name.lower() for name in overlays()}) == 5


def test_a_picture_that_is_named_twice_is_done_once(picture, segment):
    report, _ = segment(picture, picture, str(picture.parent))
    assert len(report["pictures"]) == 1


# Broken pictures among good ones


def broken_pictures(photograph):
    """Names and contents that cannot be read, by what is wrong with them."""
    jpeg, png = encode(".jpg", photograph), encode(".png", photograph)
    middle = len(png) // 2
    return {
        "empty.jpg": b"",
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut.png": png[: len(png) // 2],
        "header.jpg": jpeg[:20],
        "changed.png": png[:middle] + bytes([png[middle] ^ 1]) + png[middle + 1 :],
        "noise.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        "bomb.png": png_of_size(1 << 17, 1 << 17),
        "text.jpg": b"<html>404 not found</html>",
        "cut.webp": encode(".webp", photograph)[:1000],
        "garbage.webp": b"RIFF\x10\0\0\0WEBPVP8 " + bytes(64),
        "cut.bmp": encode(".bmp", photograph)[:1000],
        "cut.tiff": encode(".tiff", photograph)[:1000],
        "garbage.tiff": b"II*\0\x08\0\0\0\x01\0" + bytes(range(64)),
        "float.tiff": encode(".tiff", photograph.astype(np.float32) / 255),
        "cut.ppm": encode(".ppm", photograph)[:1000],
    }


def png_of_size(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


def test_broken_pictures_are_one_line_each_and_the_others_are_done(photograph, bundle, process, place):
    """In a process of its own, where decoders could write to stderr past Python."""
    broken = broken_pictures(photograph)
    for name, data in broken.items():
        write(f"pictures/{name}", data)
    for name in ("a_first.png", "z_last.png"):
        write(f"pictures/{name}", encode(".png", photograph))
    done = process(["run", bundle, "pictures", "--out", "out", "--json"])
    assert done.returncode == 3
    # libjpeg says by itself that a JPEG was cut, and nothing switches that off.
    *lines, total = (line for line in done.stderr.splitlines() if "JPEG" not in line.partition(":")[0])
    assert [line.split(": ")[2] for line in lines] == sorted(f"pictures/{name}" for name in broken), (
        done.stderr
    )
    assert all(line.startswith("edgeblend: error: pictures/") for line in lines)
    assert total == f"edgeblend: {len(broken)} of {len(broken) + 2} pictures failed"
    report = json.loads(done.stdout)
    assert [Path(entry["file"]).name for entry in report["pictures"]] == ["a_first.png", "z_last.png"]
    assert [f"edgeblend: error: {failure}" for failure in report["failures"]] == lines
    document = read_instances()
    assert [image["file_name"] for image in document["images"]] == [
        "pictures/a_first.png",
        "pictures/z_last.png",
    ]
    assert {annotation["image_id"] for annotation in document["annotations"]} == {1, 2}
    assert overlays() == ["a_first.jpg", "z_last.jpg"]


def test_a_picture_too_long_for_an_overlay_does_not_stop_the_others(picture, bundle, cli):
    write("a_long.png", encode(".png", np.zeros((1, 66000, 3), np.uint8)))
    code, stdout, stderr = cli(["run", bundle, "a_long.png", picture, "--out", "out", "--json"])
    assert code == 3
    first, total = stderr.splitlines()
    assert "a_long" in first
    assert "JPEG" in first
    assert [entry["file"] for entry in json.loads(stdout)["pictures"]] == [str(picture)]
    assert len(read_instances()["images"]) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_a_name_that_is_no_text(photograph, bundle, process, place):
    path = os.fsencode(place) + b"/pictures/caf\xe9.png"
    (place / "pictures").mkdir()
    with open(path, "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(encode(".png", photograph))
    done = process(["run", bundle, "pictures", "--out", "out"])
    assert (done.returncode, done.stderr) == (0, "")
    done = process(["run", bundle, "pictures", "--out", "out", "--overwrite", "--json"])
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["pictures"][0]["instances"] >= 3
    assert read_instances()["images"][0]["file_name"] == "pictures/caf\\udce9.png"


# Stopped on the way


@pytest.fixture
def stop_at_third(monkeypatch):
    def arrange(error):
        genuine, calls = Segmenter.__call__, []

        def call(self, frame, **options):
            calls.append(1)
            if len(calls) == 3:
                raise error
            return genuine(self, frame, **options)

        monkeypatch.setattr(Segmenter, "__call__", call)

    return arrange


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (EngineError("device lost"), 7), (MemoryError("full"), 1)]
)
def test_what_was_done_before_a_stop_is_kept(
    error, code, photograph, bundle, cli, stop_at_third, one_line, tree
):
    for number in range(4):
        write(f"pictures/{number}.png", encode(".png", photograph[: 200 + number]))
    stop_at_third(error)
    actual, stdout, stderr = cli(["run", bundle, "pictures", "--out", "out", "--json"])
    assert (actual, stdout) == (code, "")
    assert one_line(stderr)
    document = read_instances()
    assert [image["file_name"] for image in document["images"]] == ["pictures/0.png", "pictures/1.png"]
    assert overlays() == ["0.jpg", "1.jpg"]
    assert not [name for name in tree(Path("out")) if ".part" in name]
