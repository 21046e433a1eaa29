"""A data set, a small config and options that train in a second, made once; tests must not change them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest
from coloured_shapes import write_lite, write_shapes

from edgeblend.calibration.evaluation.accuracy import Accuracy, AveragePrecision
from edgeblend.training.options import TrainingOptions

QUICK = TrainingOptions(
    epochs=2,
    batch_size=4,
    workers=0,
    optimizer="sgd",
    precision="float32",
    learning_rate=0.04,
    average_decay=0.5,
)
"""Two steps an epoch, the second of two pictures.

SGD, because runs are compared: a bias before a batch norm has no gradient but rounding, which depends on the
threads of the moment, and which AdamW makes as large as any other step.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Materials:
    config: Path
    data: Path
    validation: Path


@pytest.fixture(scope="session")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    folder = tmp_path_factory.mktemp("materials")
    data, validation = write_shapes(folder), write_shapes(folder, "val", count=2, seed=1)
    return Materials(write_lite(folder), data, validation)


@pytest.fixture(scope="session")
def quick() -> Callable[..., TrainingOptions]:
    """A function from changes to quick options."""
    return lambda **changes: dataclasses.replace(QUICK, **changes)


@pytest.fixture
def accuracies(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that makes evaluations give these mask APs, one after another."""

    def part(ap: float) -> AveragePrecision:
        per_class = MappingProxyType({"rectangle": ap, "circle": ap})
        return AveragePrecision(ap, ap, ap, float("nan"), ap, ap, per_class)

    def prepare(*values: float) -> None:
        left = list(values)
        monkeypatch.setattr(
            "edgeblend.training.run.evaluate",
            lambda *args, **options: Accuracy(part(1.0), part(left.pop(0)), 2, 4),
        )

    return prepare
