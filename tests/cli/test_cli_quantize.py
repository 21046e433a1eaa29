"""``edgeblend quantize``: what it prints, writes and refuses, and what ``inspect`` shows of it."""

import json
import shutil
from pathlib import Path

import pytest
from bundle_factory import edit_manifest, make_quantization, write_tiny_bundle

from edgeblend.bundle import Bundle
from edgeblend.manifest import encode_manifest
from edgeblend.report.quantization import quantization_rows

pytest.importorskip("openvino")
pytest.importorskip("nncf")

import msgspec  # noqa: E402 - as above
from small_bundle import frames  # noqa: E402

LONG_WORK = "edgeblend.converters.openvino.toolkit._run_pipeline"


@pytest.fixture
def recipe(place) -> Path:
    """A recipe that takes a second: the basis graph alone, without bias correction."""
    path = place / "quick.json"
    path.write_text('{"name": "quick", "bias_correction": "none", "detector": "fp32"}')
    return path


@pytest.fixture
def argv(small_bundle, small_pictures, recipe):
    return [
        "quantize", small_bundle.path, "--calibration", small_pictures, "--out", "made", "--recipe", recipe
    ]  # fmt: skip


@pytest.fixture
def no_quantizing(monkeypatch):
    def fail(*args):
        raise AssertionError("the long work has begun")

    monkeypatch.setattr(LONG_WORK, fail)


def content(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


# What it does and prints


@pytest.mark.long
def test_a_light_install_makes_the_same_bundle_in_another_process(
    small_bundle, small_pictures, small_int8, process
):
    """Without torch, and with the same seed and frames: the same files, byte for byte."""
    argv = ["quantize", small_bundle.path, "--calibration", small_pictures, "--out", "made"]
    done = process(argv, blocked=("torch", "yaml", "faster_coco_eval"))
    assert done.returncode == 0, done.stderr
    assert content("made") == content(small_int8.folder)
    notes = done.stderr.splitlines()
    assert notes and all(line.startswith("edgeblend: note: ") for line in notes)


def test_what_it_prints(argv, small_pictures, cli):
    code, stdout, stderr = cli(argv)
    assert code == 0
    rows = dict(line.split("  ", 1) for line in stdout.partition("\n\n")[0].splitlines())
    assert {name: value.strip() for name, value in rows.items() if name in ("recipe", "basis layers")} == {
        "recipe": "quick (nncf)",
        "basis layers": "3 of 3 in INT8",
    }
    assert rows["bundle"].strip().startswith("made (")
    assert f"6 frames of the 6 pictures of {small_pictures}, seed 0" in rows["calibrated on"]
    assert " of 100 with the float bundle, outputs at least " in rows["measured"]
    assert "dB over the noise (bases), on 6 of these frames" in rows["measured"]
    assert "detector layers" not in rows and "search" not in rows
    assert stdout.endswith(f"\nnext: edgeblend compare {argv[1]} made --images PICTURES\n")
    assert stderr.splitlines() == [
        "edgeblend: note: 6 frames are few to calibrate with; 100 to 300 that look like what the camera will "
        "see make a safer set",
        "edgeblend: note: 300 frames were asked for, but there are only 6",
    ]
    assert Bundle.load("made").manifest.quantization.recipe.name == "quick"


def test_json(argv, cli):
    code, stdout, stderr = cli([*argv, "--frames", "4", "--seed", "5", "--every", "1", "--json"])
    assert code == 0 and "note" in stderr
    report = json.loads(stdout)
    assert set(report) == {"bundle", "bytes", "quantization", "notes"}
    assert stderr.splitlines() == [f"edgeblend: note: {note}" for note in report["notes"]]
    manifest = json.loads(Path("made/manifest.json").read_text())
    assert report["quantization"] == manifest["quantization"]
    assert report["quantization"]["calibration"]["frames"] == 4
    assert report["quantization"]["calibration"]["seed"] == 5
    files = [path for path in Path("made").iterdir() if path.name != "manifest.json"]
    assert report["bytes"] == sum(path.stat().st_size for path in files)


def test_a_search_is_told_step_by_step(argv, small_labels, cli):
    pictures, labels = small_labels / "pictures", small_labels / "labels.json"
    options = ["--max-drop", "80", "--images", pictures, "--annotations", labels]
    code, stdout, _ = cli([*argv, *options])
    assert code == 0
    assert "points AP on 3 pictures, 80 allowed, after 1 model\n" in stdout
    steps = stdout.partition("\nwhat the search tried\n")[2].partition("\n\n")[0].splitlines()
    assert len(steps) == 1
    assert steps[0].startswith("  basis  loses ")
    assert steps[0].endswith(" with 0 layers in float: as the recipe says")
    assert stdout.endswith(f" --images {pictures}\n")


def test_of_unlabelled_pictures_it_is_said_how_many_are_measured_on(argv, small_labels, tmp_path, cli):
    pictures = tmp_path / "twice"
    for number in range(2):  # each looks like the other
        shutil.copytree(small_labels / "pictures", pictures / str(number))
    code, stdout, stderr = cli([*argv, "--max-drop", "99", "--images", pictures / "**", "--json"])
    assert code == 0
    wanted = f"the drop is measured on 3 of the 6 pictures of {pictures / '**'}, which are unlike each other"
    assert sum(note.startswith(wanted) for note in json.loads(stdout)["notes"]) == 1
    assert stderr.count(wanted) == 1


def test_a_zip_file_is_replaced_when_asked(argv, cli, refused):
    argv = ["made.zip" if arg == "made" else arg for arg in argv]
    Path("made.zip").write_bytes(b"notes")
    refused(argv, 9, "made.zip: already exists")
    refused([*argv, "--overwrite"], 9, "made.zip: is not a bundle")
    Path("made.zip").unlink()
    assert cli(argv)[0] == 0
    refused(argv, 9, "made.zip: already exists")
    assert cli([*argv, "--overwrite", "--frames", "3"])[0] == 0
    assert Bundle.load("made.zip").manifest.quantization.calibration.frames == 3
    assert sorted(path.name for path in Path().iterdir()) == ["made.zip", "quick.json", "temp"]


# What a manifest says


def test_rows_of_a_manifest():
    assert quantization_rows(make_quantization()) == [
        ("recipe", "int8 (nncf)"),
        ("calibrated on", "9 frames of the 12 pictures of street/, seed 3"),
        ("detector layers", "6 of 7 in INT8; in float: head.bbox_pred"),
        (
            "measured",
            "agreement 97.2 of 100 with the float bundle, outputs at least 28.2 dB over the noise "
            "(box_reg_p3), on 9 of these frames",
        ),
        ("search", "loses 2.75 points of agreement on 9 pictures, 3 allowed, after 2 models"),
    ]


def test_steps_of_a_manifest():
    from edgeblend.report.quantization import search_rows

    search = make_quantization().search
    silent = msgspec.structs.replace(search.steps[1], returned=())
    basis = msgspec.structs.replace(search.steps[0], graph="basis")
    assert list(search_rows(msgspec.structs.replace(search, steps=(*search.steps, silent, basis)))) == [
        ("detector", "loses 4.50 with 0 layers in float: as the recipe says"),
        ("detector", "loses 2.75 with 1 layers in float: returned head.bbox_pred"),
        ("detector", "loses 2.75 with 1 layers in float: returned none"),
        ("basis", "loses 4.50 with 0 layers in float: as the recipe says"),
    ]


def test_inspect_shows_it(small_int8, cli, cli_json):
    code, stdout, stderr = cli(["inspect", small_int8.path])
    assert (code, stderr) == (0, "")
    block = stdout.partition("\nquantized\n")[2].partition("\n\n")[0]
    assert [line.split("  ")[1] for line in block.splitlines()] == [
        "recipe", "calibrated on", "detector layers", "basis layers", "measured"
    ]  # fmt: skip
    assert "\ndetector: openvino-ir, weights int8, " in stdout
    shown = cli_json(["inspect", small_int8.path])["manifest"]["quantization"]
    assert shown["recipe"]["name"] == "int8"


def test_inspect_needs_no_engine_for_it(place, process):
    folder = write_tiny_bundle(place / "tiny")
    edit_manifest(folder, quantization=msgspec.to_builtins(make_quantization()))
    done = process(["inspect", "tiny"], blocked=("torch", "yaml", "openvino", "nncf"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 of 7 in INT8; in float: head.bbox_pred" in done.stdout


def test_inspect_says_nothing_of_a_float_bundle(small_bundle, cli):
    assert "quantized" not in cli(["inspect", small_bundle.path])[1]


def test_run_takes_it_and_says_what_runs(small_int8, small_pictures, cli_json):
    report = cli_json(["run", small_int8.path, small_pictures / "0.png", "--out", "results"])
    assert {info["precision"] for info in report["info"]["parts"].values()} == {"int8+f32"}


# What it refuses


@pytest.mark.usefixtures("no_quantizing")
@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--recipe", "int4"], 3, "int4: no such recipe; expected int8, int8-accurate"),
        (["--recipe", "bad.json"], 3, "bad.json: not a recipe: "),
        (["--calibration", "nowhere"], 3, "nowhere"),
        (["--calibration", "temp"], 3, "no pictures found"),
        (["--frames", "0"], 3, "at least 1 frame"),
        (["--seed", "-1"], 3, "seed must be at least 0"),
        (["--every", "0"], 3, "every must be at least 1"),
        (["--max-drop", "0"], 3, "max_drop must be above 0"),
        (["--max-drop", "nan"], 3, "got nan"),
        (["--images", "temp"], 3, "pictures and annotations are for a search"),
        (["--out", "temp"], 9, "temp: already exists"),
    ],
)
def test_wrong_options(more, code, words, argv, refused):
    Path("bad.json").write_text('{"name": "bad", "novelty": 1}')
    Path("temp/file").write_text("")
    refused([*argv, *more], code, words)


@pytest.mark.usefixtures("no_quantizing")
def test_bundles_that_are_refused(argv, small_int8, refused):
    rest = argv[2:]
    refused(["quantize", "nowhere", *rest], 6, "nowhere: no such bundle")
    refused(["quantize", small_int8.path, *rest], 3, "is quantized already, with the recipe 'int8'")
    shutil.copytree(small_int8.folder, "broken")
    Path("broken/basis.bin").write_bytes(b"cut short")
    refused(["quantize", "broken", *rest], 6, "basis.bin")


@pytest.mark.usefixtures("no_quantizing")
def test_one_picture_is_refused_after_the_notes(argv, small_pictures, cli, tree):
    before = tree(Path())
    code, stdout, stderr = cli([*argv, "--calibration", small_pictures / "0.png"])
    assert (code, stdout) == (3, "")
    lines = stderr.splitlines()
    assert lines[0] == (
        "edgeblend: note: 1 frame is few to calibrate with; 100 to 300 that look like what the camera will "
        "see make a safer set"
    )
    assert lines[-1].startswith("edgeblend: error: the picture ")
    assert "one picture cannot show what ranges others need" in lines[-1]
    assert tree(Path()) == before


def test_too_large_a_drop_is_its_own_exit_code(argv, cli, tree):
    before = tree(Path())
    code, stdout, stderr = cli([*argv, "--frames", "2", "--max-drop", "1e-6"])
    assert (code, stdout) == (11, "")
    assert "nothing was written" in stderr.splitlines()[-1]
    assert tree(Path()) == before


def test_interruption_leaves_nothing(argv, cli, tree, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    before = tree(Path())
    monkeypatch.setattr(LONG_WORK, interrupt)
    code, stdout, stderr = cli(argv)
    assert (code, stdout, stderr.splitlines()[-1]) == (130, "", "edgeblend: interrupted")
    assert tree(Path()) == before


def test_a_missing_toolkit_names_its_extra(argv, process, one_line):
    done = process(argv, blocked=("nncf",))
    assert (done.returncode, done.stdout) == (13, "")
    assert one_line(done.stderr)
    assert 'pip install "edgeblend[quantize]"' in done.stderr
    assert not Path("made").exists()


def test_frames_of_a_video(argv, place, cli):
    import cv2

    writer = cv2.VideoWriter("street.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for picture in frames(12, seed=4):
        writer.write(picture)
    writer.release()
    code, stdout, _ = cli([*argv, "--calibration", "street.avi", "--every", "2", "--frames", "5"])
    assert code == 0
    assert "5 frames of 1 in 2 of the frames of street.avi, seed 0" in stdout


def test_manifests_are_the_same_for_equal_bundles(small_int8):
    data = (small_int8.folder / "manifest.json").read_bytes()
    assert encode_manifest(small_int8.manifest) == data


def test_the_float_bundle_itself_is_not_replaced(small_bundle, small_pictures, refused):
    shutil.copytree(small_bundle.path, "float")
    argv = ["quantize", "float", "--calibration", small_pictures, "--out", "float", "--overwrite"]
    refused(argv, 3, "is the float bundle itself")
