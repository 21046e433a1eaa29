"""What a training run goes on from is read strictly, and is what was written."""

from pathlib import Path

import pytest
import torch

from edgeblend.errors import CheckpointError
from edgeblend.training.progress import Progress, progress_errors, read_progress, write_progress

GOOD = {
    "fingerprint": {"epochs": "2"},
    "learner": {"weights": {"w": torch.ones(2)}},
    "epoch": 1,
    "kept_epoch": 1,
    "accuracy": None,
    "log": [{"epoch": 1, "losses": {"cls": 0.5}, "learning_rate": 0.01}],
}


def test_it_comes_back_as_it_was():
    read = read_progress({"format": "some", **GOOD})
    assert write_progress(read) == write_progress(Progress(**GOOD))
    assert read.learner["weights"]["w"] is GOOD["learner"]["weights"]["w"]
    assert type(read.log[0]["epoch"]) is int


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in GOOD if name != "accuracy"),
        *({"epoch": value} for value in (-1, 1.5, "1", 1 << 70)),
        *({"log": value} for value in ([1], [{"epoch": float("nan")}], [{"losses": {"cls": torch.ones(1)}}])),
        {"fingerprint": {"epochs": 2}},
        {"accuracy": 12.5},
    ],
    ids=str,
)
def test_anything_else_is_an_error_of_one_line(change):
    expected = r"^last.pt: is not the state .* start the training anew$"
    with pytest.raises(CheckpointError, match=expected), progress_errors(Path("last.pt")):
        read_progress({**GOOD, **change})


@pytest.mark.parametrize("name", GOOD)
def test_nothing_may_be_missing(name):
    content = {key: value for key, value in GOOD.items() if key != name}
    expected = f"missing required field `{name}`"
    with pytest.raises(CheckpointError, match=expected), progress_errors(Path("last.pt")):
        read_progress(content)
