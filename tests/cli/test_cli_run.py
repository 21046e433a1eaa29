"""``edgeblend run``: what it refuses before it starts, and without leaving anything behind."""

import json
import shutil
import zipfile

import cv2
import numpy as np
import pytest
from bundle_factory import edit_manifest, write_tiny_bundle


@pytest.fixture
def tiny(place):
    """A bundle of a few bytes, which only an engine would see through."""
    return write_tiny_bundle(place / "tiny")


@pytest.fixture
def run_args(bundle, picture):
    """Return the arguments of a run that would go well."""

    def arguments(*more, bundle=bundle, pictures=(picture,), out="out"):
        return ["run", bundle, *pictures, "--out", out, *more]

    return arguments


# Bundles


def test_no_bundle(run_args, refused):
    refused(run_args(bundle="nowhere"), 6, "nowhere: no such bundle", "edgeblend convert")


def test_one_byte_changed(bundle, place, run_args, refused):
    copy = shutil.copytree(bundle, place / "copy")
    data = bytearray((copy / "detector.bin").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "detector.bin").write_bytes(data)
    refused(run_args(bundle="copy"), 6, "detector.bin: content was altered", "expected SHA-256", "found")


@pytest.mark.parametrize("name", ["basis.bin", "attention.safetensors", "manifest.json"])
def test_a_file_missing(name, tiny, run_args, refused):
    (tiny / name).unlink()
    refused(run_args(bundle=tiny), 6, name)


def test_a_file_too_many(tiny, run_args, refused):
    (tiny / "run.py").write_text("print('hello')")
    refused(run_args(bundle=tiny), 6, "run.py")


@pytest.mark.parametrize("version", [1, 3, 99])
def test_an_unknown_schema_version(version, tiny, run_args, refused):
    edit_manifest(tiny, schema_version=version)
    refused(run_args(bundle=tiny), 6, f"schema version {version}", "reads version 4")


@pytest.mark.parametrize(
    "change",
    [{"unknown": 1}, {"things": ["cat"]}, {"things": "cat"}, {"graphs": {}}, {"input": None}],
)
def test_a_manifest_that_is_none(change, tiny, run_args, refused):
    edit_manifest(tiny, **change)
    refused(run_args(bundle=tiny), 6, "not a valid manifest")


def test_graphs_that_are_none(tiny, run_args, refused):
    """The files are as the manifest says, and still no engine can open them."""
    refused(run_args(bundle=tiny), 7, "OpenVINO cannot")


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:evil.txt"]
)
def test_a_zip_that_points_outside(name, place, run_args, refused):
    write_tiny_bundle(place / "tiny.zip")
    with zipfile.ZipFile(place / "tiny.zip", "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), "evil")
    refused(run_args(bundle="tiny.zip"), 6, "points outside")
    assert not list(place.parent.rglob("evil.txt"))


# Options


@pytest.mark.parametrize("device", ["NPU", "FOO", "foo", "", "AUTO:FOO,CPU"])
def test_a_device_that_is_not_there(device, run_args, refused):
    refused(run_args("--device", device), 7, "is not there", "CPU", "edgeblend doctor")


@pytest.mark.parametrize("threads", ["3000000000", "1025"])
def test_more_threads_than_any_machine_has(threads, run_args, refused):
    refused(run_args("--threads", threads), 3, "threads must be at most 1024", threads)


@pytest.mark.parametrize("threads", ["0", "-1"])
def test_no_threads(threads, run_args, refused):
    refused(run_args("--threads", threads), 3, "threads must be at least 1", threads)


def test_a_precision_that_the_device_does_not_compute_in(run_args, refused):
    import openvino

    if "FP16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor computes in float16")
    refused(run_args("--precision", "f16"), 7, "when asked for f16; ask for", "'engine'")


@pytest.mark.parametrize("threshold", ["2", "1", "-0.1", "nan"])
def test_a_score_that_is_none(threshold, run_args, refused):
    refused(run_args("--score-threshold", threshold), 3, "score_threshold must be at least 0 and below 1")


def test_a_cache_folder_that_is_a_file(place, run_args, refused):
    (place / "cache").write_text("precious")
    refused(run_args("--cache-dir", "cache"), 3, "cache: is a file", "folder")


def test_without_the_engine(run_args, process, one_line, place):
    done = process(run_args(), blocked=("openvino",))
    assert (done.returncode, done.stdout) == (13, "")
    assert one_line(done.stderr)
    assert 'pip install "edgeblend[openvino]"' in done.stderr
    assert not (place / "out").exists()


# Pictures


def test_a_missing_picture(run_args, refused):
    refused(run_args(pictures=["nowhere.jpg"]), 3, "nowhere.jpg: no such file or folder")


def test_one_missing_picture_among_others_stops_before_the_start(picture, run_args, refused):
    refused(run_args(pictures=[picture, "nowhere.jpg"]), 3, "nowhere.jpg")


def test_an_empty_folder(place, run_args, refused):
    (place / "empty").mkdir()
    (place / "empty" / "notes.txt").write_text("no picture")
    refused(run_args(pictures=["empty"]), 3, "empty: no pictures found")


def test_a_glob_without_a_match(run_args, refused):
    refused(run_args(pictures=["*.webp"]), 3, "*.webp: no pictures found")


def test_an_empty_name(run_args, refused):
    refused(run_args(pictures=[""]), 3, "empty name")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("street.mp4", ("a video, but pictures are wanted", "bench --images")),
        ("val.json", ("a JSON file, but pictures are wanted", "compare --annotations")),
        ("rtsp://camera/stream", ("rtsp://camera/stream: an address", "Segmenter.stream")),
        ("https://example.org/a.jpg", ("an address",)),
        ("0", ("a camera", "Segmenter.stream")),
    ],
)
def test_what_run_does_not_take(name, words, place, run_args, refused):
    if "." in name and "/" not in name:
        (place / name).write_text("{}")
    refused(run_args(pictures=[name]), 3, *words)


def test_what_is_passed_over_is_said(place, picture, run_args, cli):
    (place / "pictures").mkdir()
    shutil.copy(picture, place / "pictures" / "a.png")
    (place / "pictures" / "b.heic").write_text("")
    code, stdout, stderr = cli(run_args("--json", pictures=["pictures"]))
    assert (code, stderr.count("\n")) == (0, 1)
    assert "edgeblend: note: " in stderr and ".heic" in stderr
    assert [note for note in json.loads(stdout)["notes"] if ".heic" in note]


def test_names_that_only_look_like_something_else(place, picture, run_args, cli):
    for name in ("a:b.png", "rtsp:c.png", "0"):
        shutil.copy(picture, name)
    (place / "clips.mp4").mkdir()
    shutil.copy(picture, place / "clips.mp4" / "d.png")
    assert cli(run_args(pictures=["a:b.png", "rtsp:c.png", "0", "clips.mp4"]))[0] == 0
    assert len(json.loads((place / "out" / "instances.json").read_text())["images"]) == 4


def test_a_long_name_that_the_system_takes(place, picture, run_args, cli):
    pictures = ["a.png", "b" * 246 + ".png", "c" * 255, "z.png"]
    for name in pictures:
        shutil.copy(picture, name)
    assert cli(run_args(pictures=pictures))[0] == 0
    assert len(json.loads((place / "out" / "instances.json").read_text())["images"]) == 4
    assert len(list((place / "out" / "overlays").iterdir())) == 4


# Outputs


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_an_output_that_is_a_file(more, place, run_args, refused):
    (place / "out").write_text("precious")
    refused(run_args(*more), 9, "out: is a file")


def test_an_output_under_a_file(place, run_args, refused):
    (place / "file").write_text("precious")
    refused(run_args(out="file/out"), 9, "file/out", "cannot be written")


def test_an_output_that_has_files(place, run_args, refused):
    (place / "out").mkdir()
    (place / "out" / "diary.txt").write_text("precious")
    refused(run_args(), 9, "out: already has files", "--overwrite")
    refused(run_args("--resume"), 3, "out: holds no run to resume")


@pytest.mark.parametrize("name", ["diary.txt", "overlays/mine.jpg", ".hidden", "instances.json", "sub/x"])
def test_files_of_somebody_else_are_neither_deleted_nor_written_beside(name, place, run_args, cli, refused):
    for earlier in (False, True):
        if earlier:
            (place / "out" / name).unlink()
            cv2.imwrite("black.png", np.zeros((8, 8, 3), np.uint8))
            shutil.rmtree(place / "out")
            assert cli(run_args(pictures=["black.png"]))[0] == 0
        if name == "instances.json" and earlier:
            continue  # that one is the run's own now
        (place / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "out" / name).write_text("precious")
        refused(run_args("--overwrite"), 9, "out: holds files that `edgeblend run` did not write", name[:3])


def test_a_folder_in_the_way_is_found_out_early(place, run_args, refused):
    (place / "out" / "instances.json").mkdir(parents=True)
    refused(run_args("--overwrite"), 9, "did not write (instances.json)")


def test_overwriting_leaves_nothing_of_the_earlier_run(place, picture, run_args, cli):
    for name in ("a.png", "b.png"):
        shutil.copy(picture, name)
    assert cli(run_args(pictures=["a.png", "b.png"]))[0] == 0
    assert cli(run_args("--overwrite", pictures=["b.png"]))[0] == 0
    names = sorted(path.name for path in (place / "out").rglob("*") if path.is_file())
    assert names == ["b.jpg", "instances.json", "instances.jsonl"]
    assert cli(run_args("--overwrite", "--no-overlays", pictures=["b.png"]))[0] == 0
    assert sorted(path.name for path in (place / "out").iterdir()) == ["instances.json", "instances.jsonl"]


def test_what_systems_leave_in_results_is_in_nobodys_way(place, run_args, cli):
    (place / "out").mkdir()
    (place / "out" / ".DS_Store").write_text("junk")
    assert cli(run_args())[0] == 0
    (place / "out" / "overlays" / "Thumbs.db").write_text("junk")
    (place / "out" / "@eaDir").mkdir()
    (place / "out" / "@eaDir" / "file").write_text("junk")
    assert cli(run_args("--overwrite", "--no-overlays"))[0] == 0
    names = sorted(path.name for path in (place / "out").iterdir())
    assert names == [".DS_Store", "@eaDir", "instances.json", "instances.jsonl"]


def test_a_run_that_fails_keeps_what_was_there(place, picture, run_args, cli, tree):
    assert cli(run_args())[0] == 0
    before = tree(place / "out")
    (place / "bad.png").write_bytes(b"no picture")
    assert cli(run_args("--overwrite", bundle="nowhere"))[0] == 6
    assert cli(run_args("--overwrite", "--device", "FOO"))[0] == 7
    assert cli(run_args("--overwrite", pictures=["bad.png"]))[0] == 3
    assert tree(place / "out") == before


def test_nothing_is_made_where_nothing_can_be_read(place, run_args, cli):
    for name in ("bad.png", "worse.png"):
        (place / name).write_bytes(b"no picture")
    code, stdout, stderr = cli(run_args("--json", pictures=["bad.png", "worse.png"], out="deep/out"))
    assert (code, json.loads(stdout)["pictures"]) == (3, [])
    assert len(json.loads(stdout)["failures"]) == 2
    assert stderr.splitlines()[-1] == "edgeblend: 2 of 2 pictures failed"
    assert not (place / "deep").exists()


def test_an_empty_folder_is_taken(place, run_args, cli):
    (place / "out").mkdir()
    cv2.imwrite("black.png", np.zeros((8, 8, 3), np.uint8))
    assert cli(run_args(pictures=["black.png"]))[0] == 0


@pytest.mark.parametrize("given", ["threads", "=4", ""])
def test_a_property_without_a_value(given, tiny, run_args, refused):
    refused(run_args("--property", given, bundle=tiny), 3, "expected NAME=VALUE")


def test_properties_reach_the_engine(tiny_bundle, run_args, refused):
    refused(run_args("--property", "NO_SUCH_PROPERTY=1", bundle=tiny_bundle.path), 7, "NO_SUCH_PROPERTY")


def test_another_engine_is_refused(tiny, run_args, refused):
    refused(
        run_args("--backend", "onnxruntime", bundle=tiny), 7, "made for 'openvino', not for 'onnxruntime'"
    )
