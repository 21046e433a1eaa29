"""The command: runs many cases, shows how far it is, and says what failed."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from .kinds import KINDS, Kind, find_kind
from .outcome import Outcome
from .plan import plan
from .pool import Pool, Task
from .report import Tally, grouped, note_failure, summary_of, table_of, write_inputs

_REPEATED = 40
"""Groups of which one case is run again, alone."""
_TIMES = 3
"""How often: what reads memory that is not its own does not always die of it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run cases as asked for; return 1 if any failed."""
    args = _parser().parse_args(argv)
    tasks = [task_of(name) for name in args.only] or list(plan(_kinds(args.kind), args.cases, args.seed))
    until = time.monotonic() + 60 * args.minutes if args.minutes else None
    tallies, failures = _run(tasks, args.jobs, until, args.out)
    print(table_of(tallies))
    if not failures:
        return 0
    write_inputs(args.out, failures)
    print(f"\n{summary_of(failures, {} if args.only else _repeat(failures))}")
    print(f"\n{len(failures)} failures of {len(grouped(failures))} kinds; inputs are in {args.out}")
    return 1


def task_of(name: str) -> Task:
    """Return the case that ``--only`` names, as ``graph-onnx:12``, ``coco:-1`` or ``config:long-value``."""
    kind, _, seed = name.rpartition(":")
    number = seed.removeprefix("-").isdigit()
    return find_kind(kind).name, int(seed) if number else seed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what users hand in.")
    parser.add_argument("--seed", type=int, default=1, help="another one is other cases (default: 1)")
    parser.add_argument("--cases", type=int, default=10_000, help="of all kinds together (default: 10,000)")
    parser.add_argument(
        "--kind", nargs="+", default=[], help="only these; a part of a name stands for all with it"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="KIND:SEED", help="only these cases")
    parser.add_argument("--minutes", type=float, help="hand out no more cases after so long")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument(
        "--out", type=Path, default=Path("fuzz-failures"), help="where failures go (default: fuzz-failures)"
    )
    return parser


def _kinds(names: Sequence[str]) -> list[Kind]:
    """Return the kinds that are asked for, by their names or parts of them; without any, all."""
    if not names:
        return list(KINDS)
    known = [kind for kind in KINDS if any(name in kind.name for name in names)]
    exact = [find_kind(name) for name in names if name.startswith("planted-")]
    if not known and not exact:
        sys.exit(
            f"no kind is called like {', '.join(names)}; there are {', '.join(kind.name for kind in KINDS)}"
        )
    return [*known, *exact]


def _run(
    tasks: Sequence[Task], jobs: int, until: float | None, out: Path
) -> tuple[dict[str, Tally], list[Outcome]]:
    """Return tallies by kind and all failures, in the order of the kinds; after Ctrl-C those so far."""
    tqdm.set_lock(threading.RLock())  # its own is one between processes, which nobody else here needs
    tallies = {kind: Tally() for kind in dict.fromkeys(kind for kind, _ in tasks)}
    failures: list[Outcome] = []
    pause = 0.1 if sys.stderr.isatty() else 60.0  # seconds between two lines of progress
    with Pool(jobs) as pool, tqdm(total=len(tasks), unit="case", mininterval=pause) as bar:
        try:
            for outcome in pool.run(_before(tasks, until)):
                tallies[outcome.kind].add(outcome)
                if outcome.status == "failed":
                    note_failure(out, outcome, first=not failures)
                    failures.append(outcome)
                    bar.set_postfix(failures=len(failures), refresh=False)
                bar.update()
        except KeyboardInterrupt:
            print("interrupted; so far:", file=sys.stderr)
    order = [kind.name for kind in KINDS]
    known = sorted(tallies, key=lambda name: order.index(name) if name in order else len(order))
    return {name: tallies[name] for name in known}, sorted(
        failures, key=lambda outcome: (outcome.kind, str(outcome.seed))
    )


def _before(tasks: Iterable[Task], until: float | None) -> Iterator[Task]:
    for task in tasks:
        if until is not None and time.monotonic() > until:
            return
        yield task


def _repeat(failures: Sequence[Outcome]) -> dict[str, bool]:
    """Run the first case of each group again, alone in a process, and return whether it failed."""
    found = {}
    for group in grouped(failures)[:_REPEATED]:
        first = group[0]
        with Pool(1) as pool:
            again = list(pool.run([(first.kind, first.seed)] * _TIMES))
        found[first.name] = any(outcome.status == "failed" for outcome in again)
    return found
