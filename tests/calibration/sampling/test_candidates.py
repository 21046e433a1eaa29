import numpy as np
import pytest

from edgeblend.calibration.sampling.candidates import POOL_FACTOR, Candidate, Candidates, farthest_first
from edgeblend.calibration.sampling.descriptor import differences


def at(*positions):
    """Return descriptors that differ from each other as points on a line do."""
    return np.multiply.outer(np.asarray(positions, np.float32), np.full((64, 4), 0.75**0.5, np.float32))


def pool(positions, count, *, seed=0, drop=True):
    candidates = Candidates(count, np.random.default_rng(seed), drop_near_duplicates=drop)
    verdicts = []
    for index, descriptor in enumerate(at(*positions)):
        verdicts.append(candidates.judge(descriptor))
        if verdicts[-1] == "new":
            candidates.add(Candidate(index, f"frame {index}", b""), descriptor)
    return candidates, verdicts


def test_the_line_is_a_line():
    largest, mean = differences(at(0, 30, 100), at(0)[0])
    np.testing.assert_allclose(largest, [0, 30, 100], rtol=1e-5)
    np.testing.assert_allclose(mean, [0, 30, 100], rtol=1e-5)


class InOrder:
    """A random generator that leaves things as they are."""

    permutation = staticmethod(np.arange)


def test_farthest_first_by_hand():
    # From 0, 100 is farthest; then 40, which is 40 from 0; 90 is left, 10 from 100.
    taken, left = farthest_first(at(0, 100, 40, 90), 3, InOrder())
    assert taken.tolist() == [0, 1, 2] and left == pytest.approx(10, rel=1e-5)


def test_the_seed_decides_the_start_and_between_equals():
    starts = {farthest_first(at(0, 100, 40), 1, np.random.default_rng(seed))[0][0] for seed in range(20)}
    assert starts == {0, 1, 2}
    seconds = {tuple(farthest_first(at(0, 50, 50), 2, np.random.default_rng(seed))[0]) for seed in range(40)}
    assert {(0, 1), (0, 2)} < seconds


def test_farthest_first_takes_all_where_there_are_no_more():
    for count in (3, 4):
        taken, left = farthest_first(at(1, 2, 3), count, np.random.default_rng(0))
        assert sorted(taken.tolist()) == [0, 1, 2] and left == 0


def test_farthest_first_takes_copies_last_but_each_once():
    taken, left = farthest_first(at(5, 5, 50, 5), 4, np.random.default_rng(0))
    assert sorted(taken.tolist()) == [0, 1, 2, 3] and left == 0
    taken, left = farthest_first(at(5, 5, 50, 5), 2, np.random.default_rng(0))
    assert 2 in taken and left == 0


def test_farthest_first_covers_at_most_twice_as_badly_as_the_best_choice():
    from itertools import combinations

    positions = np.random.default_rng(3).uniform(0, 1000, 12)
    apart = np.abs(positions[:, None] - positions)
    best = min(apart[list(chosen)].min(axis=0).max() for chosen in combinations(range(12), 3))
    for seed in range(10):
        taken, left = farthest_first(at(*positions), 3, np.random.default_rng(seed))
        assert left == pytest.approx(apart[taken].min(axis=0).max(), rel=1e-4)
        assert left <= 2 * best * 1.0001


def test_verdicts_by_hand():
    assert pool([0, 19, 21, 60, 59], 9)[1] == ["new", "near-duplicate", "new", "new", "near-duplicate"]
    assert pool([0, 19, 0], 9, drop=False)[1] == ["new"] * 3


def test_an_overflowing_pool_is_thinned_and_then_takes_only_what_is_far():
    candidates, verdicts = pool([0, 100, 200, 300, 130, 260, 170, 1000], 2)
    # The fifth overflows a pool of 2 x 2. Thinning leaves two ends, 0 and 300 or one of them and 200.
    assert verdicts[:5] == ["new"] * 5
    assert verdicts[5:7] == ["covered"] * 2 and verdicts[7] == "new"
    assert 7 in {candidate.index for candidate in candidates.choose()}


@pytest.mark.parametrize("drop", [True, False])
def test_the_pool_is_bounded_and_never_falls_below_what_is_to_be_chosen(drop):
    candidates = Candidates(5, np.random.default_rng(0), drop_near_duplicates=drop)
    positions = np.random.default_rng(1).uniform(0, 10_000, 400)
    for index, descriptor in enumerate(at(*positions)):
        if candidates.judge(descriptor) == "new":
            candidates.add(Candidate(index, "", b""), descriptor)
        assert len(candidates.indices) <= POOL_FACTOR * 5
        assert len(candidates.indices) >= 5 or index < 50
    chosen = candidates.choose()
    assert len(chosen) == 5 and chosen == sorted(chosen, key=lambda item: item.index)
    covered = np.abs(positions[:, None] - positions[[item.index for item in chosen]]).min(axis=1).max()
    assert covered < 2500  # five of the best choice cover 1000 each way


def test_copies_alone_still_fill_the_set():
    candidates, verdicts = pool([50] * 40, 3, drop=False)
    assert len(candidates.choose()) == 3
    assert verdicts.count("covered") > 0  # once the pool overflowed
