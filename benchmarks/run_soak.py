"""``edgeblend run`` over many pictures: python benchmarks/run_soak.py [--pictures N] [--kills K] [--small].

Makes small pictures, each unlike the others. A first run goes through: its resident memory after every tenth
of the pictures, and at most while the COCO file is made, is compared with that after the first tenth.
A second one is killed at random moments, each time looked at, and resumed; it must leave what the first one
left, byte for byte. Prints JSON; exits with 1 if anything is not as it must be.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from demo_bundles import convert_and_quantize_demo
from in_turns import machine

from edgeblend.manifest import MANIFEST_NAME, encode_manifest

ALLOWED = 1.02
"""Memory at the end over that after a tenth of the pictures."""
SIDE = 64
_RUN = "import sys; from edgeblend.cli import main; sys.exit(main(sys.argv[1:]))"


def main() -> int:
    """Measure, print, and say whether all is as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundle", type=Path, help="(default: the demo model in INT8)")
    parser.add_argument("--small", action="store_true", help="the tests' bundle of a few layers instead")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = args.bundle or (small_bundle if args.small else demo_bundle)(folder / "bundles")
        make_pictures(folder / "pictures", args.pictures, args.seed)
        memory = run_through(bundle, folder, args.pictures)
        kills = run_with_kills(bundle, folder, args.pictures, args.kills, random.Random(args.seed))
        equal = files(folder / "through") == files(folder / "killed")
    report = {
        "machine": machine(),
        "pictures": args.pictures,
        **memory,
        "kills": kills,
        "same_files_after_all_kills": equal,
    }
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")
    return 0 if equal and memory["last_over_first"] <= ALLOWED else 1


def demo_bundle(folder: Path) -> Path:
    """Return the demo model in INT8."""
    return convert_and_quantize_demo(folder, "openvino")["int8"].path


def small_bundle(folder: Path) -> Path:
    """Return the tests' bundle; at this threshold its random weights find some four things per picture."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from small_bundle import write_small_bundle

    folder.mkdir()
    bundle = write_small_bundle(folder / "small")
    decode = msgspec.structs.replace(bundle.manifest.decode, score_threshold=0.64)
    manifest = msgspec.structs.replace(bundle.manifest, decode=decode)
    (bundle.path / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return bundle.path


def make_pictures(folder: Path, count: int, seed: int) -> None:
    """Write so many JPEGs of coloured blobs."""
    folder.mkdir()
    generator = np.random.default_rng(seed)
    for number in range(count):
        coarse = generator.integers(0, 255, (4, 4, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:06}.jpg"), cv2.resize(coarse, (SIDE, SIDE)))


def run_through(bundle: Path, folder: Path, count: int) -> dict[str, Any]:
    """Return the memory of a run that nobody disturbs, in MB, and how long it took."""
    resident: dict[int, float] = {}
    start = time.perf_counter()
    tenth = max(count // 10, 1)
    with started(bundle, folder, "through") as process, watched(process) as most:
        for done, _ in enumerate(process.stdout or (), 1):
            if done % tenth == 0:
                resident[done] = most[0] = resident_mb(process.pid)
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}")
    first = resident[tenth]
    return {
        "pictures_per_second": round(count / (time.perf_counter() - start), 1),
        "resident_mb_after_pictures": resident,
        "resident_mb_at_most_afterwards": most[0],
        "last_over_first": round(max(resident[max(resident)], most[0]) / first, 4),
    }


def run_with_kills(bundle: Path, folder: Path, count: int, kills: int, chance: random.Random) -> list[Any]:
    """Kill a run so often on its way, and resume it each time; returns what was seen after each kill."""
    seen = []
    for left in range(kills, 0, -1):
        before = readable(folder / "killed")
        stop = chance.randint(0, 2 * (count - before) // (left + 1))
        with started(bundle, folder, "killed", "--resume") as process:
            for said, _ in enumerate(process.stdout or (), 1):
                if said >= stop:
                    break
            time.sleep(chance.random() * 0.05)  # anywhere within a picture
            process.kill()
        after = readable(folder / "killed")
        if after < min(before + stop, count):
            raise SystemExit(
                f"{before} pictures were done and {stop} said, and {after} can be read after a kill"
            )
        seen.append({"before": before, "said": stop, "readable": after})
    with started(bundle, folder, "killed", "--resume") as process:
        for _ in process.stdout or ():
            pass
    if process.returncode:
        raise SystemExit(f"the resumed run ended with {process.returncode}")
    return seen


@contextmanager
def started(bundle: Path, folder: Path, out: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Give a run, which says a line per picture on its standard output."""
    command = [sys.executable, "-u", "-c", _RUN, "run", str(bundle), str(folder / "pictures")]
    command += ["--out", str(folder / out), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.kill()


@contextmanager
def watched(process: subprocess.Popen[str]) -> Iterator[list[float]]:
    """Give the most memory that a process had since the number was last set."""
    most, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            most[0] = max(most[0], resident_mb(process.pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def resident_mb(pid: int) -> float:
    """Return the memory of a process that is resident now; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return round(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024, 1)
    except (OSError, StopIteration):
        return 0.0


def readable(out: Path) -> int:
    """Return how many pictures' lines can be read of a run; whatever else is there can be read, too."""
    if (out / "instances.json").is_file():
        json.loads((out / "instances.json").read_bytes())
    if not (out / "instances.jsonl").is_file():
        return 0
    lines = (out / "instances.jsonl").read_bytes().splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.endswith(b"\n")]
    overlays = list((out / "overlays").iterdir())
    if broken := [path.name for path in overlays if cv2.imread(str(path)) is None]:
        raise SystemExit(f"overlays that cannot be read: {broken}")
    return sum(line["line"] == "picture" for line in whole)


def files(out: Path) -> dict[str, bytes]:
    """Return everything that a run wrote, but for the journal with its times."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    del found["instances.jsonl"]
    return found


if __name__ == "__main__":
    sys.exit(main())
