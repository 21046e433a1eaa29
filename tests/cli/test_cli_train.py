"""``edgeblend train``: what it prints and leaves, what it refuses, and going on after an interruption."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from coloured_shapes import write_document, write_lite, write_shapes

from edgeblend.cli import main


@pytest.fixture(scope="module")
def materials(tmp_path_factory) -> Path:
    """A folder with a config and two data sets; tests must not change it."""
    folder = tmp_path_factory.mktemp("materials with blanks")
    write_lite(folder)
    write_shapes(folder, count=4)
    write_shapes(folder, "val", count=2, seed=1)
    return folder


@pytest.fixture
def args(materials):
    """A function that makes a command line; later options win over earlier ones."""

    def make(*more, out="run"):
        given = ["--config", materials / "lite.yaml", "--dataset", materials / "train.json", "--out", out]
        quick = ["--weights", "none", "--epochs", "2", "--batch-size", "2", "--workers", "0"]
        return [str(arg) for arg in ("train", *given, *quick, "--precision", "float32", *more)]

    return make


def test_the_result(args, cli, materials, place):
    code, stdout, stderr = cli(args("--validation", materials / "val.json"))
    assert code == 0
    lines = stderr.splitlines()
    assert lines[0].startswith("training lite on 4 pictures, 2 classes: 2 epochs of 2 steps, on cpu")
    assert [line[:9] for line in lines[1:]] == ["epoch 1/2", "epoch 2/2"]
    rows = dict(line.split(maxsplit=1) for line in stdout.splitlines())
    assert rows["checkpoint"].startswith("run/model.safetensors (epoch ")
    assert rows["accuracy"].startswith("box AP ")
    assert rows["next"] == (
        "edgeblend convert run/model.safetensors --config run/config.yaml --class-names run/classes.txt"
        " --out run/bundle"
    )
    assert (place / "run" / "model.safetensors").is_file()


def test_the_result_as_json(args, cli, materials):
    code, stdout, _ = cli(args("--validation", materials / "val.json", "--json"))
    assert code == 0
    report = json.loads(stdout)
    assert report["model"] == "run/model.safetensors"
    assert (report["config"], report["class_names"]) == ("run/config.yaml", "run/classes.txt")
    assert report["epoch"] in (1, 2)
    assert report["accuracy"]["mask"].keys() == {"ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"}
    assert report["accuracy"]["mask"]["ap_large"] is None  # there are no large objects
    assert [record["epoch"] for record in report["log"]] == [1, 2]
    assert report["notes"] == []


def test_without_a_validation_set(args, cli):
    code, stdout, _ = cli(args("--json"))
    report = json.loads(stdout)
    assert (code, report["epoch"], report["accuracy"]) == (0, 2, None)


@pytest.mark.long
def test_the_next_commands_work(args, cli, process, materials):
    """From a data set to instances in a picture, by what each command says comes next."""
    code, stdout, stderr = cli(args("--validation", materials / "val.json", out="my run"))
    assert code == 0, stderr
    command = shlex.split(dict(line.split(maxsplit=1) for line in stdout.splitlines())["next"])
    assert command[:2] == ["edgeblend", "convert"] and command[-1] == "my run/bundle"
    done = process([*command[1:], "--json"])
    assert done.returncode == 0, done.stderr
    done = process(["run", "my run/bundle", materials / "val" / "0.png", "--out", "results"])
    assert done.returncode == 0, done.stderr
    found = json.loads(Path("results/instances.json").read_text())
    assert [category["name"] for category in found["categories"]] == ["rectangle", "circle"]


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for words in ("--dataset", "--validation-images", "--resume", "`imagenet`", "example:", "--no-flip"):
        assert words in text


# What it refuses


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--config", "Lite0_321"], 4, ["Lite0_320"]),
        (["--config", "Panoptic/R_50_1x"], 4, ["panoptic"]),
        (["--dataset", "nowhere.json"], 3, ["nowhere.json: no such file"]),
        (["--images", "nowhere"], 3, ["nowhere: no such folder"]),
        (["--validation", "nowhere.json"], 3, ["nowhere.json: no such file"]),
        (["--weights", "nowhere.pth"], 5, ["nowhere.pth"]),
        (["--resume"], 5, ["no last.pt to resume from"]),
        (["--out", "here"], 9, ["here: already exists and is not an empty folder"]),
        (["--out", "here/run"], 9, ["here/run: cannot be written"]),
        (["--epochs", "0"], 3, ["epochs is 0"]),
        (["--epochs", "two"], 2, ["--epochs", "'two'"]),
        (["--batch-size", "-1"], 3, ["batch_size is -1"]),
        (["--learning-rate", "nan"], 3, ["learning_rate is nan"]),
        (["--scales", "1.2", "0.8"], 3, ["scales are 1.2 to 0.8"]),
        (["--scales", "1.2"], 2, ["--scales"]),
        (["--validation-images", "val"], 2, ["--validation-images has no effect without --validation"]),
        (["--evaluate-every", "1"], 2, ["--evaluate-every has no effect without --validation"]),
        (["--optimizer", "adam"], 2, ["'adam'", "adamw"]),
        (["--device", "abacus"], 3, ["'abacus'"]),
        (["--device", "cuda:63"], 3, ["'cuda:63' is not there"]),
        (["--precision", "float16", "--device", "cpu"], 3, ["float16 trains on CUDA only"]),
    ],
)
def test_what_is_refused(more, code, words, args, place, refused):
    (place / "here").write_text("a file")
    refused(args(*more), code, *words)


def test_what_is_required(refused):
    refused(["train", "--config", "Lite0_320"], 2, "--dataset", "--out")


def test_a_data_set_without_objects(args, materials, place, refused):
    images = json.loads((materials / "train.json").read_text())["images"]
    write_document(place / "empty.json", images, [])
    more = ["--dataset", "empty.json", "--images", materials / "train"]
    refused(args(*map(str, more)), 10, "empty.json: no object to learn from")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_broken_picture_is_one_line(args, cli, place, workers):
    data = write_shapes(place, "mine", count=3)
    (place / "mine" / "1.png").write_bytes(b"no picture")
    code, stdout, stderr = cli(args("--dataset", str(data), "--workers", workers))
    assert (code, stdout) == (3, "")
    assert "Traceback" not in stderr
    start, error = stderr.splitlines()
    assert start.startswith("training lite") and error.startswith("edgeblend: error:") and "1.png" in error


def test_losses_that_are_not_finite(args, cli, monkeypatch):
    import torch

    from edgeblend.training.learner import Learner

    monkeypatch.setattr(Learner, "step", lambda self, batch: {"cls": torch.tensor(float("nan"))})
    code, _, stderr = cli(args())
    assert code == 10
    assert "no longer finite (cls nan)" in stderr and "run holds the state after epoch 0" in stderr


@pytest.mark.parametrize("missing", ["torch", "yaml"])
def test_what_training_needs_is_named(missing, args, process, one_line, tmp_path):
    done = process(args(out=tmp_path / "out"), blocked=(missing,))
    assert (done.returncode, done.stdout) == (13, "")
    assert one_line(done.stderr)
    assert f"training needs {missing}" in done.stderr and "edgeblend[train]" in done.stderr
    assert not (tmp_path / "out").exists()


# Interruptions


def test_an_interruption_can_be_resumed(args, cli, monkeypatch, place):
    from edgeblend.training.learner import Learner

    genuine, count = Learner.step, 0

    def step(self, batch):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return genuine(self, batch)

    monkeypatch.setattr(Learner, "step", step)
    code, stdout, stderr = cli(args())
    assert (code, stdout) == (130, "")
    assert stderr.splitlines()[-2:] == [
        "run holds the last whole epoch; the same command with --resume goes on after it",
        "edgeblend: interrupted",
    ]
    code, stdout, stderr = cli(args("--resume", "--json"))
    assert code == 0
    assert "going on after epoch 1 of 2" in stderr
    assert [record["epoch"] for record in json.loads(stdout)["log"]] == [1, 2]


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="interrupts processes as POSIX does")
def test_a_terminals_interruption(args, cli, place):
    """Ctrl-C reaches all processes of a run at once."""
    code = "import sys; from edgeblend.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *args("--workers", "2", "--epochs", "5000")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell has its background jobs ignore the signal, and so would theirs.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("epoch 1/"):
                break
        os.killpg(process.pid, signal.SIGINT)
        stdout, rest = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130, (said, rest)
    assert "edgeblend: interrupted" in rest.splitlines()
    assert stdout == ""
    assert (place / "run" / "last.pt").is_file()
    assert not list((place / "run").glob(".*"))
