"""Whether another version is faster or slower: python benchmarks/versions.py BEFORE AFTER [--out FILE].

Each of the two is `EDGEBLEND=BUNDLE[,BUNDLE...]`: the command of one version, and bundles that it reads, the
same models in the same order. Their `edgeblend bench` runs take turns, and who begins changes each round. For
each bundle it prints the medians over rounds of after/before: of a frame's stages beside the graphs, of the
graphs, and of whole frames; below 1 the later version is faster. Give one version twice to see what is noise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_bundles import DEMO
from in_turns import machine

GRAPHS = ("detector", "basis")


@dataclass(frozen=True)
class Version:
    """A command, and the bundles that it measures."""

    command: str
    bundles: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read `EDGEBLEND=BUNDLE[,BUNDLE...]`."""
        command, separator, bundles = text.partition("=")
        if not (separator and command and bundles):
            raise argparse.ArgumentTypeError(f"{text}: expected EDGEBLEND=BUNDLE[,BUNDLE...]")
        return cls(command, tuple(bundles.split(",")))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Version.parse)
    parser.add_argument("after", type=Version.parse)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each run measures each bundle")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    if len(args.before.bundles) != len(args.after.bundles):
        parser.error("both versions need the same number of bundles")
    rounds = [measure((args.before, args.after), args.seconds, number) for number in range(args.rounds)]
    found = {
        "machine": machine(),
        "rounds": args.rounds,
        "seconds": args.seconds,
        "after_to_before": {
            Path(name).name: ratios([(before[place], after[place]) for before, after in rounds])
            for place, name in enumerate(args.after.bundles)
        },
    }
    text = json.dumps(found, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


def measure(versions: tuple[Version, Version], seconds: float, number: int) -> list[list[dict[str, float]]]:
    """Return milliseconds per version and bundle; the second version begins in odd rounds."""
    taken: dict[int, list[dict[str, float]]] = {}
    for place in (0, 1) if number % 2 == 0 else (1, 0):
        version = versions[place]
        arguments = ["--images", str(DEMO.validation.with_suffix("")), "--seconds", str(seconds), "--json"]
        done = subprocess.run(
            [version.command, "bench", *version.bundles, *arguments], capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"{version.command}: {done.stderr}")
        taken[place] = [parts(bundle) for bundle in json.loads(done.stdout)["bundles"]]
    return [taken[0], taken[1]]


def parts(bundle: dict[str, Any]) -> dict[str, float]:
    """Return the milliseconds of what is compared."""
    stages = {name: stage["median"] for name, stage in bundle["latency_ms"]["stages"].items()}
    return {
        "beside_graphs": sum(value for name, value in stages.items() if name not in GRAPHS),
        "graphs": sum(stages[name] for name in GRAPHS),
        "frame": bundle["latency_ms"]["frame"]["median"],
    }


def ratios(rounds: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return median, least and greatest ratio of each part."""
    found = {}
    for name in rounds[0][0]:
        values = [after[name] / before[name] for before, after in rounds]
        found[name] = {
            "median": round(statistics.median(values), 3),
            "least": round(min(values), 3),
            "greatest": round(max(values), 3),
        }
    return found


if __name__ == "__main__":
    main()
