"""A short run over every kind: always the same cases. ``python -m tests.fuzz`` is the long one."""

from __future__ import annotations

from collections import defaultdict

import pytest

from .kinds import KINDS, UNCHANGED
from .outcome import Outcome
from .plan import plan
from .pool import Pool
from .report import summary_of

_CASES, _SEED = 900, 0

_NAMES = [kind.name for kind in KINDS]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[Outcome]]:
    """What became of each case, by kind; the good input of each is the first."""
    tasks = [*((name, UNCHANGED) for name in _NAMES), *plan(KINDS, _CASES, _SEED)]
    found = defaultdict(list)
    with Pool(2) as pool:
        for outcome in pool.run(tasks):
            found[outcome.kind].append(outcome)
    return {name: sorted(cases, key=lambda outcome: outcome.seed) for name, cases in found.items()}


@pytest.mark.parametrize("name", _NAMES)
def test_the_good_input_is_accepted(name: str, outcomes: dict[str, list[Outcome]]) -> None:
    first = outcomes[name][0]
    assert (first.seed, first.status) == (UNCHANGED, "accepted"), first.message


@pytest.mark.parametrize("name", _NAMES)
def test_mutated_inputs_give_a_result_or_one_of_our_errors(
    name: str, outcomes: dict[str, list[Outcome]]
) -> None:
    failures = [outcome for outcome in outcomes[name] if outcome.status == "failed"]
    assert not failures, f"\n{summary_of(failures, {})}"


def test_mutations_are_neither_all_accepted_nor_all_refused(outcomes: dict[str, list[Outcome]]) -> None:
    # Should a format change under its sample, all would be refused at its door and none would be tested.
    mutated = [outcome.status for cases in outcomes.values() for outcome in cases[1:]]
    assert len(mutated) == _CASES
    assert mutated.count("accepted") > _CASES // 6
    assert mutated.count("refused") > _CASES // 6
