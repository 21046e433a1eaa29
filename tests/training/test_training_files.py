"""What a run leaves: files that are whole or what they were, and that others can read."""

import dataclasses
import json

import pytest
import safetensors.torch
import torch
from faults import failing, interrupted, no_permission, no_space

from edgeblend.class_list import ClassList, read_class_list
from edgeblend.errors import CheckpointError, InputError, OutputError
from edgeblend.model.config import PUBLISHED, load_config, named_settings
from edgeblend.training import files


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# Whole or as before


STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor(0.1)}


WRITERS = {
    "model": lambda path: files.write_model(path, STATE),
    "last": lambda path: files.write_last(path, {"epoch": 1, "learner": STATE}),
    "classes": lambda path: files.write_classes(path, ["cup"], [3]),
    "log": lambda path: files.write_log(path, [{"epoch": 1}]),
    "config": lambda path: files.write_config(path, {}, 2),
}


@pytest.mark.parametrize("fault", [no_space, no_permission, interrupted])
@pytest.mark.parametrize("writer", WRITERS)
def test_any_operation_may_fail_once(tmp_path, writer, fault):
    path = tmp_path / "file"
    for _ in range(2):  # the first time libraries open files of their own
        with failing(None) as seen:
            WRITERS[writer](path)
    written, count = path.read_bytes(), len(seen.operations)
    assert {"open", "fsync", "rename"} <= seen.kinds
    refused = 0
    for position in range(count):
        path.write_bytes(b"old")
        error = None
        with failing(position, fault):
            try:
                WRITERS[writer](path)
            except (OutputError, KeyboardInterrupt) as caught:
                error = caught
        refused += error is not None
        if isinstance(error, OutputError):
            assert "what was there before is intact" in str(error) and "\n" not in str(error)
        expected = {None: [written], KeyboardInterrupt: [b"old", written], OutputError: [b"old"]}
        assert path.read_bytes() in expected[type(error) if error else None]
        assert names_in(tmp_path) == ["file"]
    assert refused >= 3


@pytest.mark.parametrize("kind", ["model", "last"])
def test_what_torch_and_safetensors_say_of_a_disk_that_is_full(tmp_path, kind):
    """For real: the system stops this process from making large files."""
    resource = pytest.importorskip("resource")
    path = tmp_path / kind
    path.write_bytes(b"old")
    state = {"t": torch.zeros(100_000)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written: .*intact"):
            if kind == "model":
                files.write_model(path, state)
            else:
                files.write_last(path, state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names_in(tmp_path) == [kind] and path.read_bytes() == b"old"


# The folder


def test_a_new_folder_may_be_made(tmp_path):
    files.check_folder(tmp_path / "a" / "b", resume=False)
    assert names_in(tmp_path) == []
    files.make_folder(tmp_path / "a" / "b")
    files.check_folder(tmp_path / "a" / "b", resume=False)  # an empty one will do
    files.make_folder(tmp_path / "a" / "b")


@pytest.mark.parametrize("kind", ["file", "full", "dangling link"])
def test_what_is_there_is_not_touched(tmp_path, kind):
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("precious")
    elif kind == "full":
        out.mkdir()
        (out / "diary.txt").write_text("precious")
    else:
        out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="out: already exists and is not an empty folder; choose another"):
        files.check_folder(out, resume=False)


def test_a_run_that_is_there_can_be_resumed(tmp_path):
    (tmp_path / files.LAST).touch()
    with pytest.raises(OutputError, match="resume the run in it"):
        files.check_folder(tmp_path, resume=False)
    files.check_folder(tmp_path, resume=True)


def test_nothing_to_resume(tmp_path):
    with pytest.raises(CheckpointError, match="there is no last.pt to resume from"):
        files.check_folder(tmp_path, resume=True)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        files.make_folder(tmp_path / "file" / "out")


# Configs


def with_classes(config, count):
    return dataclasses.replace(
        config,
        name="written",
        fcos=dataclasses.replace(config.fcos, num_classes=count),
        basis=dataclasses.replace(config.basis, num_semantic_classes=count),
    )


@pytest.mark.parametrize("name", ["Lite0_320", *PUBLISHED])
def test_a_config_is_what_it_was_with_another_number_of_classes(tmp_path, name):
    path = tmp_path / "written.yaml"
    files.write_config(path, named_settings(name), 7)
    assert load_config(path) == with_classes(load_config(name), 7)
    assert "_BASE_" not in path.read_text()


def test_a_derived_config(tmp_path):
    own = tmp_path / "own.yaml"
    base = tmp_path / "base.yaml"
    files.write_config(base, named_settings("R_50_1x"), 80)
    own.write_text(
        "_BASE_: base.yaml\n"
        "MODEL: {FCOS: {NUM_CLASSES: 3, INFERENCE_TH_TEST: 1e-3}, PIXEL_STD: '(57.375, 57.12, 58.395)',"
        " BACKBONE: {FREEZE_AT: 3}}\n"
        "DATASETS: {TRAIN: '(\"coco_2017_train\",)'}\n"
        "SOLVER: {BASE_LR: 0.01}\n"
        "INPUT: {MIN_SIZE_TEST: 512, MIN_SIZE_TRAIN: [256, 608]}\n"
    )
    path = tmp_path / "written.yaml"
    files.write_config(path, named_settings(own), 4)
    written = load_config(path)
    assert written == with_classes(load_config(own), 4)
    assert (written.fcos.score_threshold, written.input.pixel_std[0]) == (1e-3, 57.375)
    assert (written.backbone.freeze_at, written.input.min_size) == (3, 512)
    assert "coco" not in path.read_text()  # where it was trained before is no longer true


def test_a_section_that_training_does_not_read_may_be_anything(tmp_path):
    """A scalar in the base and a section in the file: nothing that is written depends on it."""
    (tmp_path / "base.yaml").write_text("SOLVER: 5\nMODEL: {META_ARCHITECTURE: BlendMask}\n")
    (tmp_path / "own.yaml").write_text("_BASE_: base.yaml\nSOLVER: {BASE_LR: 0.1, 'a.b': 2020-01-01}\n")
    files.write_config(tmp_path / "written.yaml", named_settings(tmp_path / "own.yaml"), 2)
    assert load_config(tmp_path / "written.yaml").fcos.num_classes == 2


# Class names


def test_classes_are_read_as_they_were_written(tmp_path):
    names = ["cup", "table spoon", "Tänk, grüner", "杯", "#5", "null"]
    ids = [7, 0, -3, 2**63 - 1, 12, 5]
    files.check_classes(names, ids)
    files.write_classes(tmp_path / "classes.txt", names, ids)
    assert (tmp_path / "classes.txt").read_text().startswith("7\tcup\n0\ttable spoon\n")
    assert read_class_list(tmp_path / "classes.txt") == ClassList(tuple(names), tuple(ids))


@pytest.mark.parametrize(
    "name", ["", " ", "cup ", "\tcup", "two\nlines", "two\rlines", "a\u2028b", "\n", "a\tb"]
)
def test_class_names_that_a_list_cannot_hold(name):
    with pytest.raises(InputError, match="one per line"):
        files.check_classes(["spoon", name], [1, 2])


def test_a_category_id_that_no_result_can_hold():
    with pytest.raises(InputError, match="category id 9223372036854775808 does not fit into 64 bits"):
        files.check_classes(["spoon", "cup"], [1, 2**63])


# Weights and state


def test_weights(tmp_path):
    files.write_model(tmp_path / "model.safetensors", STATE)
    read = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(read[name], tensor) for name, tensor in STATE.items()) and len(read) == 2


def test_every_file_can_be_read_by_those_who_can_read_others(tmp_path):
    (tmp_path / "other").touch()
    files.write_model(tmp_path / "model.safetensors", STATE)
    files.write_last(tmp_path / "last.pt", {})
    files.write_classes(tmp_path / "classes.txt", ["cup"], [3])
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_weights_in_half_precision(tmp_path):
    files.write_model(tmp_path / "model.safetensors", STATE, half=True)
    read = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in read.values()} == {torch.float16}
    assert read["b"] == torch.tensor(0.1).half()


def test_weights_in_any_memory_layout(tmp_path):
    images = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    files.write_model(tmp_path / "m", {"w": images.to(memory_format=torch.channels_last)})
    assert torch.equal(safetensors.torch.load_file(tmp_path / "m")["w"], images)


def test_the_state_comes_back(tmp_path):
    content = {"epoch": 3, "accuracy": None, "log": [{"losses": {"cls": 0.5}}], "learner": {"w": STATE}}
    files.write_last(tmp_path / "last.pt", content)
    read = files.read_last(tmp_path / "last.pt")
    assert read["epoch"] == 3 and read["log"] == content["log"]
    assert torch.equal(read["learner"]["w"]["a.weight"], STATE["a.weight"])


def test_what_a_killed_run_left_half_written_goes_when_it_is_resumed(tmp_path):
    files.write_last(tmp_path / "last.pt", {"epoch": 3})
    (tmp_path / ".edgeblend-0123abcd").write_text("half of a state")
    files.read_last(tmp_path / "last.pt")
    assert names_in(tmp_path) == ["last.pt"]


def test_one_turned_bit_of_a_weight_is_seen(tmp_path):
    # torch writes checksums, and does not look at them.
    path, weight = tmp_path / "last.pt", torch.arange(1000.0)
    files.write_last(path, {"weight": weight})
    whole = path.read_bytes()
    place = whole.index(weight[500:502].numpy().tobytes())
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert torch.load(path, weights_only=True)["weight"][500] != 500
    with pytest.raises(CheckpointError, match="cannot be read .* was altered.; start the training anew"):
        files.read_last(path)


class Runs:
    def __reduce__(self):
        return (print, ("this must not be printed",))


@pytest.mark.parametrize("kind", ["cut off", "text", "another file", "code", "older"])
def test_a_state_that_is_none(tmp_path, kind, capsys):
    path = tmp_path / "last.pt"
    if kind == "cut off":
        files.write_last(path, {"epoch": 1, "tensor": torch.zeros(1000)})
        path.write_bytes(path.read_bytes()[:-900])
    elif kind == "text":
        path.write_text("no state")
    elif kind == "another file":
        torch.save({"model": STATE}, path)
    elif kind == "code":
        torch.save({"format": Runs()}, path)
    else:
        torch.save({"format": "edgeblend training state 0", "epoch": 1}, path)
    with pytest.raises(CheckpointError, match="last.pt.*start the training anew") as caught:
        files.read_last(path)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_the_log_has_a_line_an_epoch(tmp_path):
    records = [{"epoch": 1, "losses": {"cls": 0.5}}, {"epoch": 2, "losses": {"cls": 0.25}}]
    files.write_log(tmp_path / "log.jsonl", records)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == records
