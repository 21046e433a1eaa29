"""What was found once is not found again."""

from __future__ import annotations

import pytest

from .command import task_of
from .kept import FOLDER, outcomes
from .outcome import Outcome
from .pool import Pool

_RIGHT = outcomes()


@pytest.fixture(scope="module")
def found() -> dict[str, Outcome]:
    """What becomes of each input now, by its name."""
    with Pool(2) as pool:
        return {outcome.name: outcome for outcome in pool.run([task_of(name) for name in _RIGHT])}


@pytest.mark.parametrize("name", _RIGHT)
def test_an_input_of_the_corpus_has_the_right_outcome(name: str, found: dict[str, Outcome]) -> None:
    outcome = found[name]
    status, _, error = _RIGHT[name].partition(" ")
    assert (outcome.status, outcome.reason) == (status, error or outcome.reason), outcome.message


def test_every_input_that_is_kept_is_run() -> None:
    kept = {f"{folder.parent.name}:{folder.name}" for folder in FOLDER.glob("*/*") if folder.is_dir()}
    assert kept == {name for name in _RIGHT if not name.rpartition(":")[2].removeprefix("-").isdigit()}
