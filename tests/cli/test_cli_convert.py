"""``edgeblend convert``: what it makes, and what it refuses without leaving anything behind."""

import json
import pickle
import shutil
import sys
import zipfile

import pytest
import torch
from bundle_factory import write_tiny_bundle

from edgeblend.bundle import Bundle
from edgeblend.cli import main

NAMES = ("cup", "spoon", "table")


@pytest.fixture
def place(place):
    """Nothing may appear beside what is there already, either."""
    (place / "here").write_text("a file")
    return place


# What it makes


def test_the_result_as_json(converted):
    report = json.loads(converted.stdout)
    assert report["bundle"] == str(converted.path)
    assert report["bytes"] == sum(file.stat().st_size for file in converted.path.glob("[!m]*"))
    measured = report["verification"]
    assert 0 < max(error["max_error"] for error in measured["tensors"]) < 1e-3
    assert measured["detections"] >= 3
    assert converted.stderr == ""  # a pipe sees no progress


def test_the_bundle_says_what_it_was_made_from(bundle, model):
    manifest = Bundle.load(bundle).manifest
    assert manifest.things == NAMES
    assert (manifest.input.height, manifest.input.width) == (160, 224)
    assert (manifest.source.config, manifest.source.checkpoint) == ("tiny.yaml", "tiny.pth")


def test_nothing_but_the_bundle_is_left(converted, tree):
    assert {name.split("/")[0] for name in tree(converted.path.parent)} == {"tiny"}


# Checkpoints


class _Creates:
    """A pickle that creates a file when it is opened by somebody careless."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def write_checkpoint(kind, path, model):
    whole = model.checkpoint.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "one byte short":
        path.write_bytes(whole[:-1])
    elif kind == "no checkpoint":
        path.write_text("epoch, loss\n1, 0.5\n")
    elif kind == "a number":
        torch.save(5, path)
    elif kind == "no tensors":
        torch.save({"model": {"note": "weights are elsewhere"}}, path)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "no checkpoint")
    elif kind == "nan":
        torch.save({"backbone.weight": torch.full((2,), float("nan"))}, path)
    elif kind == "folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "no checkpoint"),
        ("empty", "0 bytes"),
        ("truncated", "cut off"),
        ("one byte short", "cut off"),
        ("no checkpoint", "not a checkpoint"),
        ("a number", "holds a int"),
        ("no tensors", "no tensors"),
        ("zip", "not a checkpoint but a zip file"),
        ("nan", "NaN"),
        ("folder", "is a folder"),
    ],
)
def test_files_that_are_no_checkpoint(kind, words, place, model, refused):
    write_checkpoint(kind, place / "bad.pth", model)
    argv = model.convert_args("out")
    argv[1] = "bad.pth"
    refused(argv, 5, words, "bad.pth")


def test_a_safetensors_file_that_is_none(place, model, refused):
    (place / "bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      trailing")
    argv = model.convert_args("out")
    argv[1] = "bad.safetensors"
    refused(argv, 5, "bad.safetensors")


@pytest.mark.parametrize("new", [False, True])
def test_a_checkpoint_that_would_run_code_does_not(new, place, model, refused):
    bad, trace = place / "bad.pth", place / "trace"
    if new:
        torch.save({"model": _Creates(trace)}, bad)
    else:
        bad.write_bytes(pickle.dumps({"model": _Creates(trace)}, protocol=2))
    argv = model.convert_args("out")
    argv[1] = "bad.pth"
    refused(argv, 5, "run code", "refused")
    assert not trace.exists()
    pickle.loads(pickle.dumps(_Creates(trace))).close()
    assert trace.exists()  # the payload works


def test_the_checkpoint_of_another_config(place, model, refused):
    argv = ["convert", model.checkpoint, "--config", "DLA_34_syncbn_4x", "--out", "out"]
    refused(argv, 5, "does not fit the config DLA_34_syncbn_4x", "missing", "of another shape")


# Configs


def test_an_unknown_config(place, model, refused):
    refused(["convert", model.checkpoint, "--config", "R_50_4x", "--out", "out"], 4, "'R_50_4x'", "R_50_3x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text + "SOLVED: 5\n", "unknown key SOLVED"),
        (lambda text: text.replace("NUM_SHARE_CONVS", "NUM_SHARED_CONVS"), "NUM_SHARED_CONVS"),
        (lambda text: text.replace("TOP_LEVELS: 0", "TOP_LEVELS: 7"), "TOP_LEVELS is 7"),
        (lambda text: text.replace("[8, 16, 32]", "[8, 16]"), "FPN_STRIDES has 2 values"),
        (lambda text: text.replace("OUT_CHANNELS: 32", "OUT_CHANNELS: 33"), "32 groups"),
        (lambda text: text.replace("MAX_SIZE_TEST: 224", "MAX_SIZE_TEST: 24"), "160 is more than"),
        (lambda text: text + "MODEL: {}\n", "already set in line 1"),
        (lambda text: text.replace("[8, 16, 32]", "[8, 16, 32"), "not valid YAML"),
        (lambda text: "\tMODEL: 1", "not valid YAML"),
        (lambda text: "", "is empty"),
        (lambda text: "_BASE_: nowhere.yaml\n" + text, "nowhere.yaml"),
        (lambda text: "_BASE_: bad.yaml\n" + text, "circle"),
    ],
)
def test_configs_with_mistakes(change, words, place, model, refused):
    (place / "bad.yaml").write_text(change(model.config.read_text()))
    argv = model.convert_args("out")
    argv[3] = "bad.yaml"
    refused(argv, 4, words, "bad")


def test_a_checkpoint_in_place_of_the_config(place, model, refused):
    argv = model.convert_args("out")
    argv[3] = str(model.checkpoint)
    refused(argv, 4, "is it the checkpoint?")


# Options


@pytest.mark.parametrize("size", ["nonsense", "512", "512x", "x512", "512x736x3", "5.5x7"])
def test_input_sizes_that_are_none(size, model, refused):
    refused(model.convert_args("out", "--input-size", size), 2, "expected HxW such as 512x736", repr(size))


@pytest.mark.parametrize("size", ["0x0", "16x16", "100000x10", "160x-224"])
def test_input_sizes_beyond_the_limits(size, model, refused):
    refused(model.convert_args("out", "--input-size", size), 3, "32 to 8192")


def test_dynamic_with_an_input_size(model, refused):
    refused(model.convert_args("out", "--dynamic", "--input-size", "160x224"), 2, "not allowed with")


def test_an_unknown_target(model, refused):
    refused(model.convert_args("out", "--target", "abacus"), 7, "unknown target 'abacus'", "openvino")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("cup,spoon", "the model has 3 classes, got 2 names"),
        ("cup,spoon,table,chair", "got 4"),
        ("cup,spoon,cup", "'cup' is given more than once"),
        ("cup,,table", "a name is empty"),
        ("", "got 1 names"),
        ("nowhere.txt", "nowhere.txt: no such file"),
        ("lists/classes", "lists/classes: no such file"),
        ("folder.txt", "folder.txt: cannot be read"),
        ("two.txt", "got 2 names: cup, spoon"),
        ("latin1.txt", "latin1.txt"),
    ],
)
def test_class_names_that_do_not_fit(names, words, place, model, refused):
    (place / "two.txt").write_text("cup\nspoon\n")
    (place / "latin1.txt").write_bytes("Tänk\n".encode("latin1"))
    (place / "folder.txt").mkdir()
    argv = model.convert_args("out")
    argv[argv.index("--class-names") + 1] = names
    refused(argv, 3, words)


def test_no_class_names_for_classes_that_are_not_cocos(model, refused):
    argv = model.convert_args("out")
    refused(argv[: argv.index("--class-names")], 3, "3 classes", "--class-names")


# Outputs


@pytest.mark.parametrize("name", ["here", "folder", "old", "old.zip"])
def test_an_output_that_exists(name, place, model, refused):
    (place / "folder").mkdir()
    write_tiny_bundle(place / "old")
    write_tiny_bundle(place / "old.zip")
    refused(model.convert_args(name), 9, f"{name}: already exists", "overwrite")


@pytest.mark.parametrize("name", ["here", "folder"])
def test_only_a_bundle_is_overwritten(name, place, model, refused):
    (place / "folder").mkdir()
    (place / "folder" / "diary.txt").write_text("precious")
    refused(model.convert_args(name, "--overwrite"), 9, "not a bundle")


def test_an_output_under_a_file(model, refused):
    refused(model.convert_args("here/out"), 9, "here/out: cannot be written")


# What goes wrong on the way: with graphs that the session's conversion has exported


@pytest.fixture
def exported(monkeypatch, bundle):
    """Make exporting quick: graphs come from the finished bundle. Returns what it stands in for."""
    from edgeblend.converters.opened import ExportedGraph
    from edgeblend.converters.openvino import export as openvino

    genuine = openvino.export_graph

    def export_graph(graph, folder, **options):
        paths = [folder / f"{graph.part}{suffix}" for suffix in (".xml", ".bin")]
        for path in paths:
            shutil.copy(bundle / path.name, path)
        return ExportedGraph(tuple(paths), graph.inputs, graph.outputs)

    monkeypatch.setattr(openvino, "export_graph", export_graph)
    return genuine


def test_an_interruption_leaves_nothing(exported, monkeypatch, model, refused):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgeblend.converters.convert.verify", interrupt)
    refused(model.convert_args("out.zip"), 130, "interrupted")


def test_an_interruption_keeps_what_was_to_be_replaced(exported, monkeypatch, place, model, refused):
    write_tiny_bundle(place / "old")

    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgeblend.converters.convert.verify", interrupt)
    refused(model.convert_args("old", "--overwrite"), 130, "interrupted")


def test_one_changed_weight_is_refused(exported, monkeypatch, model, refused):
    """The negative control of verification: an export that is not quite the network."""
    from edgeblend.converters.openvino import export as openvino

    copied = openvino.export_graph

    def change_basis(graph, folder, **options):
        if graph.part == "detector":
            return copied(graph, folder, **options)
        parameters = graph.module.named_parameters()
        weight = next(value for name, value in parameters if "basis_module.tower" in name).detach()
        genuine = float(weight.view(-1)[0])
        weight.view(-1)[0] += 0.5
        try:
            return exported(graph, folder, **options)
        finally:
            weight.view(-1)[0] = genuine  # torch is right, the export is not

    monkeypatch.setattr(openvino, "export_graph", change_basis)
    refused(model.convert_args("out"), 8, "differ from torch; nothing was written", "basis output bases")


def test_a_bundle_is_overwritten_when_asked(exported, place, model, cli):
    write_tiny_bundle(place / "old")
    code, stdout, stderr = cli(model.convert_args("old", "--overwrite"))
    assert (code, stderr) == (0, "")
    assert Bundle.load(place / "old").manifest.things == NAMES
    assert {path.name for path in place.iterdir()} == {"temp", "here", "old"}
    assert "verified" in stdout
    assert "edgeblend run old PICTURE" in stdout


def test_a_zip_and_class_names_from_a_file_with_progress_on_a_terminal(
    exported, monkeypatch, place, model, capsys
):
    (place / "names.txt").write_bytes("\ufeffcup\r\n  table spoon \r\n\r\nTisch\r\n".encode())
    argv = model.convert_args("out.zip", "--json")
    argv[argv.index("--class-names") + 1] = "names.txt"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(argv) == 0
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["bundle"] == "out.zip"
    assert stderr.splitlines() == [
        "reading the checkpoint ...",
        "exporting the detector graph ...",
        "exporting the basis graph ...",
        "verifying against torch ...",
    ]
    assert Bundle.load(place / "out.zip").manifest.things == ("cup", "table spoon", "Tisch")


# Without torch


@pytest.mark.parametrize("missing", ["torch", "openvino"])
def test_what_converting_needs_is_named(missing, model, process, one_line, tmp_path):
    done = process(model.convert_args(tmp_path / "out"), blocked=(missing,))
    assert (done.returncode, done.stdout) == (13, "")
    assert one_line(done.stderr)
    assert missing in done.stderr
    assert "edgeblend[convert]" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(
            (("--target", "ethos-u", *option), f"{option[0]} has no effect on --target ethos-u")
            for option in (
                ("--config", "R_50_3x"),
                ("--input-size", "64x96"),
                ("--dynamic",),
                ("--class-names", ""),
                ("--precision", "fp32"),
                ("--precision", "fp16"),
                ("--attention", "sparse"),
                ("--attention", "dense"),
            )
        ),
        *(
            (("--config", "R_50_3x", *option), f"{option[0]} has no effect on --target openvino")
            for option in (
                ("--accelerator", "ethos-u55-64"),
                ("--system-config", "A"),
                ("--memory-mode", "B"),
                ("--vela-config", "vela.ini"),
                ("--arena-cache-size", "0"),
                ("--optimise", "Performance"),
            )
        ),
        (("--target", "tflite"), "required: --config"),
    ],
)
def test_options_that_do_not_go_together(options, words, refused):
    refused(("convert", "model.pth", "--out", "out", *options), 2, words)


def test_an_ethos_u_needs_a_tflite_bundle(place, refused):
    write_tiny_bundle(place / "old")
    refused(
        ("convert", "old", "--target", "ethos-u", "--out", "out"), 3, "expected a bundle of target 'tflite'"
    )
