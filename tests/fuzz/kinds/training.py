"""The state of a training run, which ``train --resume`` goes on from."""

from __future__ import annotations

import copy
import io
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import torch
from tiny_model import TINY_YAML

from edgeblend.errors import CheckpointError
from edgeblend.model.blendmask import BlendMask
from edgeblend.model.config import load_config
from edgeblend.model.losses.criterion import TrainingNetwork
from edgeblend.training.files import LAST, read_last, write_last
from edgeblend.training.learner import Learner
from edgeblend.training.options import TrainingOptions
from edgeblend.training.progress import Progress, progress_errors, read_progress, write_progress

from ..mutate_bytes import mutate_bytes
from ..mutate_values import any_value, value_like
from .kind import Kind, expect

_WEIGHT = torch.arange(6.0).view(2, 3)


def _progress(learner: dict[str, Any]) -> dict[str, Any]:
    log = [{"epoch": 1, "losses": {"cls": 0.5}, "learning_rate": 0.01, "mask_ap": 12.5}]
    made = Progress(
        fingerprint={"epochs": "2"}, learner=learner, epoch=1, kept_epoch=1, accuracy=None, log=log
    )
    return write_progress(made)


@cache
def _small() -> bytes:
    """Return a file of a network with one parameter."""
    with tempfile.TemporaryDirectory() as folder:
        write_last(Path(folder, LAST), _progress({"weights": {"w": _WEIGHT}}))
        return Path(folder, LAST).read_bytes()


def _write_small(folder: Path) -> None:
    (folder / LAST).write_bytes(_small())


def _make_bytes(random: Random, folder: Path) -> None:
    (folder / LAST).write_bytes(mutate_bytes(_small(), random))


def _run_bytes(folder: Path) -> None:
    """What is altered on disk is refused, or the alteration is in none of its contents."""
    read = read_progress(read_last(folder / LAST))
    expect(torch.equal(read.learner["weights"]["w"], _WEIGHT), "weights that were altered were taken")
    expect({**write_progress(read), "learner": 0} == {**_progress({}), "learner": 0}, "numbers were altered")


@cache
def _learner() -> tuple[Learner, bytes]:
    """Return a learner of a small network and what it wrote after a step; one for all cases."""
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        path = Path(folder, "tiny.yaml")
        path.write_text(TINY_YAML)
        learner = Learner(TrainingNetwork(BlendMask(load_config(path))), TrainingOptions(), steps=4)
    for parameter in learner.training.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    learner._optimizer.step()
    file = io.BytesIO()
    torch.save(learner.state(), file)
    return learner, file.getvalue()


def _write_content(folder: Path) -> None:
    _write_changes(Random(0), folder, 0)


def _make_content(random: Random, folder: Path) -> None:
    _write_changes(random, folder, random.choice((1, 1, 2)))


def _write_changes(random: Random, folder: Path, count: int) -> None:
    """Write a state, of which some values are others, as by another version or network."""
    learner = torch.load(io.BytesIO(_learner()[1]), weights_only=True)
    content = {"last": _progress(learner)}
    for _ in range(count):
        _change(content["last"], random)
    write_last(folder / LAST, content["last"])


def _change(tree: Any, random: Random) -> None:  # noqa: ANN401 - lists and dicts of anything
    """Change one thing somewhere in lists and dicts: those near the root as often as those far below."""
    while True:
        key = random.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
        value = tree[key]
        if not isinstance(value, dict | list) or not value or random.random() < 0.2:
            break
        tree = value
    what = random.choice(("value", "value", "remove", "rename", "any"))
    if what == "remove" or (what == "rename" and not isinstance(tree, dict)):
        del tree[key]
    elif what == "rename":
        tree[random.choice(("x", 0, -1, 1000, None, ("a", 1)))] = tree.pop(key)
    elif what == "value" and isinstance(value, torch.Tensor):
        tree[key] = random.choice((value.flatten()[:1], value.double(), value[..., None], torch.zeros(())))
    else:
        tree[key] = copy.deepcopy(value_like(value, random) if what == "value" else any_value(random))


def _run_content(folder: Path) -> None:
    """Go on from it, and make one more step."""
    learner = _learner()[0]
    content = read_last(folder / LAST)
    with progress_errors(folder / LAST):
        progress = read_progress(content)
        learner.load(progress.learner)
    expect(0 <= learner.rate < 1, "a learning rate that is none")
    learner._optimizer.step()
    write_last(folder / "again", {"last": learner.state()})
    (folder / "again").unlink()


KINDS = (
    Kind("state-bytes", _make_bytes, _run_bytes, (CheckpointError,), _write_small, share=2),
    Kind("state-content", _make_content, _run_content, (CheckpointError,), _write_content, share=0.5),
)
