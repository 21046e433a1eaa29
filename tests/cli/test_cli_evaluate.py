"""``edgeblend evaluate``: tables for people, everything for programs, refusals in one line."""

from __future__ import annotations

import pytest

import edgeblend

pytest.importorskip("openvino")
pytest.importorskip("faster_coco_eval")


@pytest.fixture(scope="module")
def argv(tiny_bundle, labelled_pictures) -> list[object]:
    images, annotations = labelled_pictures / "pictures", labelled_pictures / "labels.json"
    return ["evaluate", tiny_bundle.folder, "--images", images, "--annotations", annotations]


def row(stdout: str, name: str) -> list[str]:
    (line,) = [line for line in stdout.splitlines() if line.split()[:1] == [name] and line[:1] != " "]
    return line.split()[1:]


def test_tables_for_people(argv, cli, labelled_pictures, tiny_bundle):
    code, stdout, stderr = cli(argv)
    assert (code, stderr) == (0, "")
    assert f"bundle: {tiny_bundle.folder}\n" in stdout
    assert f"images: 5 images of {labelled_pictures / 'pictures'}, " in stdout
    assert row(stdout, "box")[:3] == row(stdout, "mask")[:3] == ["100.00"] * 3
    assert "boundary" not in stdout and "Boundary" not in stdout
    assert "class" in stdout and "box AP" in stdout and "mask AP" in stdout
    assert float(row(stdout, "frame")[0]) > 0
    assert "AP: COCO's average precision" in stdout
    assert max(map(len, stdout.splitlines()[-8:])) <= 110


def test_boundary_on_request(argv, cli):
    stdout = cli([*argv, "--boundary", "--limit", "2"])[1]
    assert row(stdout, "boundary")[0] == "100.00"
    assert "Boundary AP takes as overlap" in stdout
    assert "images: 2 images of" in stdout


def test_everything_for_programs(argv, cli_json, tiny_bundle):
    document = cli_json([*argv, "--threads", "1"])
    assert document["edgeblend"] == edgeblend.__version__
    assert document["bundle"] == str(tiny_bundle.folder)
    assert document["accuracy"]["mask"]["ap"] == pytest.approx(100)
    assert document["accuracy"]["boundary"] is None
    assert set(document["accuracy"]["box"]["per_class"]) == set(tiny_bundle.manifest.things)
    assert document["images"]["count"] == 5 and document["images"]["objects"] > 5
    assert document["sessions"]["detector"]["threads"] == 1
    assert document["speed"]["frames_per_second"] == pytest.approx(1e3 / document["speed"]["frame_ms"])


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--limit", "0"], 3, "limit"),
        (["--threads", "0"], 3, "threads"),
        (["--device", "NOWHERE"], 7, "NOWHERE"),
        (["--precision", "int4"], 2, "int4"),
        (["--annotations", "nowhere.json"], 3, "nowhere.json: no such file"),
        (["--images", "nowhere"], 3, "nowhere"),
    ],
)
def test_wrong_options(more, code, words, argv, refused):
    refused([*argv, *more], code, words)


def test_annotations_are_needed(argv, refused):
    refused(argv[:4], 2, "--annotations")


def test_labels_need_a_package(argv, process, one_line):
    done = process(argv, blocked=("faster_coco_eval",))
    assert (done.returncode, done.stdout) == (13, "")
    assert one_line(done.stderr)
    assert 'pip install "edgeblend[accuracy]"' in done.stderr
