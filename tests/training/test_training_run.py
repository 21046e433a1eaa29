"""Runs from start to end: what they leave, what they refuse, and going on after an interruption."""

import json

import pytest
import safetensors.torch
import torch
from coloured_shapes import CLASS_NAMES, annotation, write_document, write_lite, write_shapes

from edgeblend import train
from edgeblend.calibration.data.coco import read_coco
from edgeblend.class_list import ClassList, read_class_list
from edgeblend.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    MissingPackageError,
    OutputError,
    TrainingError,
)
from edgeblend.model.blendmask import build_network
from edgeblend.model.checkpoints.read import load_weights, read_checkpoint
from edgeblend.model.config import load_config
from edgeblend.training import files
from edgeblend.training.evaluation import accuracy_to_record, evaluate, record_to_accuracy
from edgeblend.training.learner import Learner


@pytest.fixture
def start(materials, quick):
    """A function that trains on the materials, from random weights unless told otherwise."""

    def run(
        out, *, resume=False, weights=None, validation=None, report=None, data=None, config=None, **changes
    ):
        return train(
            materials.data if data is None else data,
            out,
            config=materials.config if config is None else config,
            validation=validation,
            weights=weights,
            resume=resume,
            options=quick(**changes),
            report=report,
        )

    return run


@pytest.fixture
def interrupt(monkeypatch):
    """A function that makes the nth step from now on raise."""
    genuine = Learner.step

    def prepare(number, error=KeyboardInterrupt):
        count = 0

        def step(self, batch):
            nonlocal count
            count += 1
            if count == number:
                raise error
            return genuine(self, batch)

        monkeypatch.setattr(Learner, "step", step)

    yield prepare
    monkeypatch.setattr(Learner, "step", genuine)


def state_of(folder):
    return files.read_last(folder / "last.pt")


def weights_of(folder):
    return safetensors.torch.load_file(folder / "model.safetensors")


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# What a run leaves


def test_a_run(tmp_path, start, materials):
    lines = []
    result = start(tmp_path / "a" / "run", validation=materials.validation, report=lines.append)
    folder = tmp_path / "a" / "run"
    assert names_in(folder) == ["classes.txt", "config.yaml", "last.pt", "log.jsonl", "model.safetensors"]
    assert (result.model, result.config) == (folder / "model.safetensors", folder / "config.yaml")
    assert read_class_list(result.class_names) == ClassList(CLASS_NAMES, (3, 7))
    assert result.notes == ()
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert list(result.log) == log
    assert [record["epoch"] for record in log] == [1, 2]
    assert log[0]["losses"].keys() == {"cls", "box", "centerness", "mask", "semantic"}
    assert all(0 < value < 5 for record in log for value in record["losses"].values())
    # 0.04 at 16 pictures, at the first of two steps.
    assert log[0]["learning_rate"] == pytest.approx(0.01 / 2)
    assert lines[0] == ("training lite on 6 pictures, 2 classes: 2 epochs of 2 steps, on cpu in float32")
    assert [line[:9] for line in lines[1:]] == ["epoch 1/2", "epoch 2/2"]
    assert "mask AP" in lines[-1]


def test_the_model_that_is_kept_is_what_was_measured(tmp_path, start, materials):
    result = start(tmp_path / "run", validation=materials.validation)
    config = load_config(result.config)
    network = build_network(config)
    load_weights(network, read_checkpoint(result.model), source="the model")
    assert (config.fcos.num_classes, config.basis.num_semantic_classes) == (2, 2)
    validation = read_coco(materials.validation)
    device = torch.device("cpu")
    measured = evaluate(
        config, network.state_dict(), validation, class_names=validation.class_names, device=device
    )
    assert str(measured) == str(result.accuracy)  # nan is not itself


def test_training_changes_the_weights(tmp_path, start):
    start(tmp_path / "run")
    state = state_of(tmp_path / "run")["learner"]
    kept, last = weights_of(tmp_path / "run"), state["weights"]
    assert kept.keys() == last.keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in state["average"].items())
    assert not torch.equal(kept["top_layer.weight"], last["top_layer.weight"])  # an average


def test_the_same_seed_gives_the_same_model(tmp_path, start):
    torch.manual_seed(1)
    start(tmp_path / "a", epochs=1)
    torch.manual_seed(2)
    start(tmp_path / "b", epochs=1)
    start(tmp_path / "c", epochs=1, seed=1)
    a, b, c = (weights_of(tmp_path / name) for name in "abc")
    assert all(torch.allclose(a[name], b[name], rtol=0, atol=1e-5) for name in a)
    assert not torch.allclose(a["top_layer.weight"], c["top_layer.weight"], rtol=0, atol=1e-6)


# Which model is kept


def test_the_best_is_kept(tmp_path, start, materials, accuracies):
    accuracies(40.0, 60.0, 50.0)
    result = start(tmp_path / "run", validation=materials.validation, epochs=3)
    assert (result.epoch, result.accuracy.mask.ap) == (2, 60)
    assert [record["mask_ap"] for record in result.log] == [40, 60, 50]
    average = state_of(tmp_path / "run")["learner"]["average"]
    assert not torch.equal(weights_of(tmp_path / "run")["top_layer.weight"], average["top_layer.weight"])


def test_of_equals_the_later_is_kept(tmp_path, start, materials, accuracies):
    accuracies(0.0, 0.0)
    assert start(tmp_path / "run", validation=materials.validation).epoch == 2


def test_until_something_is_measured_the_last_is_kept(tmp_path, start, materials, accuracies, interrupt):
    accuracies(40.0)
    interrupt(5)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        start(out, validation=materials.validation, epochs=4, evaluate_every=3)
    assert state_of(out)["kept_epoch"] == 2
    assert (out / "model.safetensors").is_file()


def test_the_last_epoch_is_always_evaluated(tmp_path, start, materials, accuracies):
    accuracies(40.0, 30.0)
    result = start(tmp_path / "run", validation=materials.validation, epochs=3, evaluate_every=2)
    assert [record.get("mask_ap") for record in result.log] == [None, 40, 30]
    assert result.epoch == 2


def test_an_accuracy_is_a_record_and_back(accuracies):
    accuracies(40.0)
    from edgeblend.training.run import evaluate as made

    accuracy = made()
    record = accuracy_to_record(accuracy)
    assert record["mask"]["ap50"] == 40 and record["num_objects"] == 4
    back = record_to_accuracy(record)
    assert back.mask.per_class == {"rectangle": 40, "circle": 40}
    assert str(accuracy_to_record(back)) == str(record)


# Resuming


@pytest.fixture(scope="module")
def straight(tmp_path_factory, materials, quick):
    """Four epochs without an interruption."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    train(materials.data, folder, config=materials.config, weights=None, options=quick(epochs=4))
    return folder


def assert_same_run(one, other):
    """Everything that was learnt, to a float's tolerance."""
    first, second = state_of(one)["learner"], state_of(other)["learner"]
    assert first["step_count"] == second["step_count"] == 8
    assert first["average_steps"] == second["average_steps"] == 8
    for part in ("weights", "average"):
        for name, tensor in first[part].items():
            assert torch.allclose(second[part][name], tensor, rtol=0, atol=1e-5), name
    kept = weights_of(other)
    assert all(
        torch.allclose(kept[name], tensor, rtol=0, atol=1e-6) for name, tensor in weights_of(one).items()
    )
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k != "pictures_per_second"}
            for line in text.splitlines()
        ]
        for text in ((folder / "log.jsonl").read_text() for folder in (one, other))
    ]
    assert logs[0] == logs[1] and len(logs[0]) == 4


@pytest.mark.parametrize(("step", "whole"), [(1, 0), (3, 1), (6, 2), (8, 3)])
def test_an_interruption_costs_at_most_its_epoch_and_changes_nothing(
    tmp_path, straight, start, interrupt, step, whole
):
    out, lines = tmp_path / "run", []
    interrupt(step)
    with pytest.raises(KeyboardInterrupt):
        start(out, epochs=4)
    assert state_of(out)["epoch"] == whole
    interrupt(0)
    torch.manual_seed(step)
    start(out, epochs=4, resume=True, report=lines.append)
    assert lines[1] == f"going on after epoch {whole} of 4"
    assert len([line for line in lines if line.startswith("epoch")]) == 4 - whole
    assert_same_run(straight, out)


def test_interrupted_twice_and_between_epochs(tmp_path, straight, start, interrupt):
    out = tmp_path / "run"

    def stop_after(epoch):
        def report(line):
            if line.startswith(f"epoch {epoch}"):
                raise KeyboardInterrupt

        return report

    with pytest.raises(KeyboardInterrupt):
        start(out, epochs=4, report=stop_after(1))
    with pytest.raises(KeyboardInterrupt):
        start(out, epochs=4, resume=True, report=stop_after(3))
    assert state_of(out)["epoch"] == 3
    start(out, epochs=4, resume=True)
    assert_same_run(straight, out)


def test_a_finished_run_says_what_it_said(tmp_path, start, materials, accuracies, interrupt):
    accuracies(60.0, 50.0)
    out = tmp_path / "run"
    result = start(out, validation=materials.validation)
    interrupt(1)  # nothing is left to train
    again = start(out, validation=materials.validation, resume=True)
    assert (again.epoch, again.accuracy.mask.ap) == (1, 60)
    assert str(again.accuracy) == str(result.accuracy) and again.log == result.log


def test_a_better_model_of_before_the_interruption_stays(tmp_path, start, materials, accuracies, interrupt):
    out = tmp_path / "run"
    accuracies(60.0, 50.0, 40.0)
    interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        start(out, validation=materials.validation)
    kept = weights_of(out)
    accuracies(50.0)
    interrupt(0)
    result = start(out, validation=materials.validation, resume=True)
    assert (result.epoch, result.accuracy.mask.ap) == (1, 60)
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights_of(out).items())


def test_a_full_disk_in_the_middle_leaves_the_last_whole_epoch(tmp_path, straight, start, monkeypatch):
    out = tmp_path / "run"
    genuine = torch.save

    def full(content, file):
        if content["epoch"] == 2:
            file.write(b"half")
            raise OSError(28, "No space left on device")
        genuine(content, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="last.pt: cannot be written: No space left on device"):
        start(out, epochs=4)
    monkeypatch.setattr(torch, "save", genuine)
    assert state_of(out)["epoch"] == 1
    assert not [name for name in names_in(out) if "partial" in name]
    start(out, epochs=4, resume=True)
    assert_same_run(straight, out)


@pytest.fixture
def begun(tmp_path, start, interrupt):
    """A run of four epochs that was interrupted at once."""
    interrupt(1)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "begun", epochs=4)
    interrupt(0)
    return tmp_path / "begun"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 5}, "epochs was 4 and is 5"),
        ({"batch_size": 3}, "batch_size was 4 and is 3"),
        ({"learning_rate": 1e-3}, "learning_rate was 0.04 and is 0.001"),
        ({"optimizer": "adamw"}, "optimizer was sgd and is adamw"),
        ({"weight_decay": 0.5}, "weight_decay was 0.0001 and is 0.5"),
        ({"average_decay": 0.9}, "average_decay was 0.5 and is 0.9"),
        ({"warmup_steps": 1}, "warmup_steps was 200 and is 1"),
        ({"clip_norm": 1.0}, "clip_norm was 10.0 and is 1.0"),
        ({"backbone_factor": 1.0}, "backbone_factor was 0.5 and is 1.0"),
        ({"seed": 5}, "seed was 0 and is 5"),
    ],
)
def test_resuming_with_other_options_is_refused(begun, start, changes, words):
    before = (begun / "last.pt").read_bytes()
    with pytest.raises(CheckpointError, match="cannot be resumed with other settings") as caught:
        start(begun, resume=True, **{"epochs": 4, **changes})
    assert words in str(caught.value)
    assert (begun / "last.pt").read_bytes() == before


def test_resuming_with_other_augmentation_is_refused(begun, start):
    from edgeblend import Augmentation

    with pytest.raises(CheckpointError, match="augmentation.flip was True and is False"):
        start(begun, resume=True, epochs=4, augmentation=Augmentation(flip=False))


def test_resuming_with_another_config_is_refused(begun, start, tmp_path):
    config = write_lite(tmp_path, channels=24)
    with pytest.raises(CheckpointError, match="config.fpn.out_channels was 16 and is 24"):
        start(begun, resume=True, epochs=4, config=config)


def test_resuming_with_another_validation_set_is_refused(begun, start, materials):
    with pytest.raises(CheckpointError, match="validation was none and is 2 pictures with digest"):
        start(begun, resume=True, epochs=4, validation=materials.validation)


def test_resuming_with_other_annotations_is_refused(begun, start, materials, tmp_path):
    document = json.loads(materials.data.read_text())
    document["annotations"][3]["category_id"] = 10 - document["annotations"][3]["category_id"]
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="data was 6 pictures with digest .* and is 6 pictures"):
        start(begun, resume=True, epochs=4, data=read_coco(changed, materials.data.with_suffix("")))


def test_what_may_differ(begun, start, straight, materials, tmp_path):
    """Another name for the config, another place for the data, processes, and the default said in words."""
    config = tmp_path / "renamed.yaml"
    config.write_text(materials.config.read_text())
    moved = tmp_path / "moved"
    materials.data.with_suffix("").rename(moved)
    try:
        data = read_coco(materials.data, moved)
        changes = {"workers": 1, "weight_decay": 1e-4, "evaluate_every": 2, "device": "auto"}
        start(begun, resume=True, epochs=4, data=data, config=config, **changes)
    finally:
        moved.rename(materials.data.with_suffix(""))
    assert_same_run(straight, begun)


def test_the_precision_may_differ(begun, start):
    lines = []
    start(begun, resume=True, epochs=4, precision="bfloat16", report=lines.append)
    assert lines[0].endswith("in bfloat16")
    assert state_of(begun)["epoch"] == 4


def test_interrupted_between_two_files(tmp_path, straight, start, monkeypatch):
    """The log is a record ahead of the state; in the end both have all."""
    out = tmp_path / "run"
    genuine = files.write_last

    def interrupted(path, content):
        if content["epoch"] == 4:
            raise KeyboardInterrupt
        genuine(path, content)

    monkeypatch.setattr(files, "write_last", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(out, epochs=4)
    monkeypatch.setattr(files, "write_last", genuine)
    assert state_of(out)["epoch"] == 3
    start(out, epochs=4, resume=True)
    assert_same_run(straight, out)


def test_a_broken_state_is_refused(begun, start):
    (begun / "last.pt").write_bytes((begun / "last.pt").read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="last.pt: cannot be read"):
        start(begun, resume=True, epochs=4)


@pytest.mark.parametrize("name", ["fingerprint", "learner", "log"])
def test_a_state_of_something_else_is_refused(begun, start, name):
    content = state_of(begun)
    files.write_last(begun / "last.pt", {**content, name: {"weights": 1}})
    with pytest.raises(
        CheckpointError, match="last.pt: is not the state of this training run|other settings"
    ):
        start(begun, resume=True, epochs=4)


def test_nothing_to_resume(tmp_path, start):
    with pytest.raises(CheckpointError, match="no last.pt to resume from"):
        start(tmp_path / "run", resume=True)
    assert names_in(tmp_path) == []


# What cannot be trained


def test_losses_that_are_not_finite_keep_the_last_whole_epoch(tmp_path, start, interrupt):
    out = tmp_path / "run"
    interrupt(4, TrainingError("the losses are no longer finite"))
    with pytest.raises(TrainingError, match=f"{out} holds the state after epoch 1"):
        start(out)
    assert state_of(out)["epoch"] == 1
    assert all(tensor.isfinite().all() for tensor in weights_of(out).values())


def test_a_rate_that_diverges(tmp_path, start):
    out = tmp_path / "run"
    # Weight decay alone multiplies weights by 1 - 100 a step: gradients may vanish on the way.
    rates = {"learning_rate": 100.0, "weight_decay": 1.0, "clip_norm": 1e30, "warmup_steps": 0}
    with pytest.raises(TrainingError, match="not finite|no longer finite"):
        start(out, optimizer="sgd", epochs=30, **rates)
    state = state_of(out)
    assert state["epoch"] < 30
    for part in ("weights", "average"):
        assert all(tensor.isfinite().all() for tensor in state["learner"][part].values())


def document_of(materials):
    return json.loads(materials.data.read_text())


def test_no_object(tmp_path, start, materials):
    document = document_of(materials)
    for item in document["annotations"]:
        item["iscrowd"] = 1
    path = write_document(tmp_path / "crowds.json", document["images"], document["annotations"])
    with pytest.raises(TrainingError, match="crowds.json: no object to learn from in 6 pictures"):
        start(tmp_path / "run", data=read_coco(path, materials.data.with_suffix("")))
    assert names_in(tmp_path) == ["crowds.json"]


def test_no_object_to_measure_on(tmp_path, start, materials):
    document = json.loads(materials.validation.read_text())
    path = write_document(tmp_path / "empty.json", document["images"], [])
    validation = read_coco(path, materials.validation.with_suffix(""))
    with pytest.raises(InputError, match="empty.json: no object to measure accuracy on"):
        start(tmp_path / "run", validation=validation)


def test_other_classes_to_measure_on(tmp_path, start, materials):
    text = materials.validation.read_text().replace("circle", "disc")
    (tmp_path / "discs.json").write_text(text)
    folder = materials.validation.with_suffix("")
    with pytest.raises(InputError, match="its classes are not those of"):
        start(tmp_path / "run", validation=read_coco(tmp_path / "discs.json", folder))


def test_class_names_that_cannot_be_written(tmp_path, start, materials):
    (tmp_path / "train.json").write_text(materials.data.read_text().replace('"circle"', '"circle "'))
    data = read_coco(tmp_path / "train.json", materials.data.with_suffix(""))
    with pytest.raises(InputError, match="'circle '; rename"):
        start(tmp_path / "run", data=data)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"device": "abacus"}, InputError, "not one of torch's"),
        ({"device": "cuda:63"}, InputError, "is not there"),
        ({"precision": "float16"}, InputError, "float16 trains on CUDA only"),
        ({"epochs": 0}, InputError, "epochs is 0"),
        ({"config": "Lite0_321"}, ConfigError, "Lite0_320"),
        ({"config": "Panoptic/R_50_1x"}, ConfigError, "panoptic.* such as R_50_1x"),
        ({"data": "nowhere.json"}, InputError, "nowhere.json: no such file"),
        ({"weights": "nowhere.pth"}, CheckpointError, "nowhere.pth"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path, start, given, error, words):
    if "precision" in given:
        given = {**given, "device": "cpu"}
    with pytest.raises(error, match=words):
        start(tmp_path / "run", **given)
    assert names_in(tmp_path) == []


def test_a_folder_that_is_not_empty_is_refused_before_anything_is_read(tmp_path, start):
    out = tmp_path / "run"
    out.mkdir()
    (out / "diary.txt").write_text("precious")
    with pytest.raises(OutputError, match="run: already exists and is not an empty folder"):
        start(out, data="nowhere.json", config="nowhere.yaml")
    assert names_in(out) == ["diary.txt"]


def test_a_run_is_not_started_over(begun, start):
    with pytest.raises(OutputError, match="resume the run in it, or choose another"):
        start(begun, epochs=4)


def test_accuracy_that_cannot_be_measured_is_said_at_once(tmp_path, start, materials, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingPackageError, match="faster-coco-eval"):
        start(tmp_path / "run", validation=materials.validation)
    assert names_in(tmp_path) == []


# Data as it comes


def test_data_with_everything_that_can_be_wrong(tmp_path, start):
    """Crowds, run lengths, category ids with gaps, boxes outside, slivers: left out, said, and trained."""
    import cv2
    import numpy as np

    data = write_shapes(tmp_path, count=4)
    document = json.loads(data.read_text())
    items, images = document["annotations"], document["images"]
    grey = cv2.imread(str(tmp_path / "train" / "0.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(tmp_path / "train" / "0.png"), grey)
    cv2.imwrite(str(tmp_path / "train" / "empty.jpg"), np.full((30, 50, 3), 99, np.uint8))
    images.append({"id": 50, "file_name": "empty.jpg", "width": 50, "height": 30})
    whole = np.ones((64, 64), bool)
    extra = [
        {**annotation(0, 1, 0, whole, polygons=False), "iscrowd": 1},
        {**annotation(0, 1, 0, whole, polygons=True), "bbox": [-40, -40, 20, 20]},
        {**annotation(0, 2, 0, whole, polygons=True), "bbox": [-40, -40, 400, 400]},
        {**annotation(0, 2, 1, whole, polygons=True), "segmentation": [[1, 1, 9, 9, 5, 5]]},
        {**annotation(0, 2, 1, whole, polygons=True), "segmentation": [[1.1, 1.1, 1.2, 9, 1.3, 1.1]]},
        {**annotation(0, 2, 1, whole, polygons=True), "segmentation": []},
        {**annotation(0, 3, 1, whole, polygons=True), "bbox": [4, 4, 0, 9]},
    ]
    items += [{**item, "id": 100 + number} for number, item in enumerate(extra)]
    write_document(data, images, items)
    lines = []
    result = start(tmp_path / "run", data=data, report=lines.append, epochs=1)
    said = "\n".join(lines)
    for words in (
        "1 objects dropped: outside the picture",
        "1 objects dropped: polygons without an area",
        "1 objects dropped: no segmentation",
        "1 boxes without an area: taken from their masks",
        "1 boxes clipped to their picture",
        "1 of 5 pictures without objects",
    ):
        assert f"train.json: {words}" in said
    assert result.epoch == 1
    assert all(0 < value < 5 for value in result.log[0]["losses"].values())


def test_pictures_that_are_missing(tmp_path, start):
    data = write_shapes(tmp_path, count=3)
    (tmp_path / "train" / "1.png").unlink()
    with pytest.raises(InputError, match="1 of 3 pictures are not in .*1.png"):
        start(tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


def test_a_picture_that_is_broken_can_be_mended_and_the_run_resumed(tmp_path, start):
    data = write_shapes(tmp_path, count=3)
    picture = tmp_path / "train" / "1.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:100])
    with pytest.raises(InputError, match="1.png"):
        start(tmp_path / "run", data=data, epochs=1)
    picture.write_bytes(whole)
    assert start(tmp_path / "run", data=data, epochs=1, resume=True).epoch == 1


# Fine-tuning


def test_fine_tuning_ones_own_model_for_other_classes(tmp_path, start, materials):
    first = start(tmp_path / "first", epochs=1)
    data = write_shapes(tmp_path, count=4)
    document = json.loads(data.read_text())
    document["categories"].append({"id": 4, "name": "star"})
    data.write_text(json.dumps(document))
    lines = []
    options = {"epochs": 1, "learning_rate": 1e-9, "average_decay": 0.0}
    second = start(
        tmp_path / "second",
        data=data,
        config=first.config,
        weights=first.model,
        report=lines.append,
        **options,
    )
    assert lines[0].startswith("4 parameters start anew, for another number of classes: ")
    assert "cls_logits.weight" in lines[0]
    before, after = weights_of(tmp_path / "first"), weights_of(tmp_path / "second")
    anew = {name for name in after if after[name].shape != before[name].shape}
    assert len(anew) == 4 and all(len(after[name]) in (3, 4) for name in anew)
    for name in after.keys() - anew:
        if "running" not in name:
            assert torch.allclose(after[name], before[name], rtol=0, atol=1e-5), name
    assert load_config(second.config).fcos.num_classes == 3
    assert second.class_names.read_text() == "3\trectangle\n4\tstar\n7\tcircle\n"


def test_a_backbone_without_imagenet_weights_is_said(tmp_path, start, tiny_model, interrupt):
    lines = []
    interrupt(1)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "run", config=tiny_model.config, weights="imagenet", report=lines.append)
    assert lines[0].startswith(
        "no ImageNet weights are known for the backbone of tiny: it starts from random"
    )
