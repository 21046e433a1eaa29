"""Faults that were planted are found, named and survived."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .command import main
from .kinds import make_case
from .kinds.planted import PLANTED
from .outcome import Outcome
from .pool import Pool


def _number(kind: str, seed: int, folder: Path) -> int:
    case = folder / f"{kind}-{seed}"
    case.mkdir()
    make_case(kind, seed, case)
    return int((case / "number.txt").read_text())


def _seeds(kind: str, folder: Path) -> dict[str, int]:
    """Return a seed of a case with the fault, of one that is accepted, and of one that is refused."""
    found: dict[str, int] = {}
    seed = 0
    while len(found) < 3:
        number = _number(kind, seed, folder)
        what = "failed" if number % 3 == 0 else "refused" if number % 4 == 0 else "accepted"
        found.setdefault(what, seed)
        seed += 1
    return found


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Outcome]:
    """Of each planted fault, by its name and what was to be expected; all run by two workers."""
    folder = tmp_path_factory.mktemp("numbers")
    expected = {
        (f"planted-{name}", seed): (name, what)
        for name in PLANTED
        for what, seed in _seeds(f"planted-{name}", folder).items()
    }
    with Pool(2) as pool:
        return {expected[outcome.kind, outcome.seed]: outcome for outcome in pool.run(expected)}


def test_every_case_has_an_outcome(outcomes: dict[tuple[str, str], Outcome]) -> None:
    assert len(outcomes) == 3 * len(PLANTED)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_and_the_others_are_not_touched(
    name: str, outcomes: dict[tuple[str, str], Outcome]
) -> None:
    fault = outcomes[name, "failed"]
    assert (fault.status, fault.reason) == ("failed", PLANTED[name][1])
    assert outcomes[name, "accepted"].status == "accepted"
    assert (outcomes[name, "refused"].status, outcomes[name, "refused"].reason) == ("refused", "InputError")


def test_a_failure_says_where(outcomes: dict[tuple[str, str], Outcome]) -> None:
    assert outcomes["raises", "failed"].where.endswith(" _raises")
    assert outcomes["raises", "failed"].message == "KeyError: 'name'"
    assert "left" in outcomes["temporary", "failed"].message
    assert "number.txt.part (1 bytes)" in outcomes["beside", "failed"].message
    assert outcomes["takes", "failed"].grown > 64 << 20


def test_the_command_fails_on_a_failure_and_writes_what_repeats_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = _seeds("planted-raises", tmp_path)
    out = tmp_path / "failures"
    case = f"planted-raises:{seeds['failed']}"

    assert main(["--only", case, f"recipe:{seeds['accepted']}", "--jobs", "1", "--out", str(out)]) == 1

    shown = capsys.readouterr().out
    assert "1 x KeyError" in shown
    assert f"--only {case}" in shown
    place = out / case.replace(":", "-")
    assert int((place / "input" / "number.txt").read_text()) % 3 == 0
    assert json.loads((place / "failure.json").read_text())["reason"] == "KeyError"
    assert len((out / "failures.jsonl").read_text().splitlines()) == 1


def test_the_command_ends_well_without_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = _seeds("planted-raises", tmp_path)
    out = tmp_path / "failures"
    cases = [f"planted-raises:{seeds[what]}" for what in ("accepted", "refused")]

    assert main(["--only", *cases, "--jobs", "1", "--out", str(out)]) == 0

    assert capsys.readouterr().out.splitlines()[-1].split()[:5] == ["all", "2", "1", "1", "0"]
    assert not out.exists()
