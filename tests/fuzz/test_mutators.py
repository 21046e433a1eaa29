"""Mutations follow from their seed alone, and reach what they are there for."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest
import yaml

from .kinds import KINDS, make_case
from .kinds.images import with_right_checksums
from .mutate_bytes import mutate_bytes
from .mutate_graphs import mutate_onnx, mutate_tflite
from .mutate_text import mutate_json, mutate_yaml
from .mutate_tree import mutate_tree
from .plan import counts_of, plan
from .samples import files

_TREE = {"a": 1, "b": [1.5, "x", None], "c": {"d": True}}


def digest_of_cases(folder: Path) -> str:
    """Return one digest of a few cases of each kind."""
    digest = hashlib.sha256()
    for kind in KINDS:
        for seed in range(6):
            case = folder / f"{kind.name}-{seed}"
            case.mkdir()
            make_case(kind.name, seed, case)
            for path in sorted(case.rglob("*")):
                digest.update(str(path.relative_to(folder)).encode(errors="surrogateescape"))
                digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def test_bytes_are_what_they_were() -> None:
    # Written down: cases that were found are kept by their number.
    assert [mutate_bytes(b"0123456789", Random(seed)) for seed in range(4)] == [
        b"012C\xff\xff\xff\xff45g789",
        b"0456789",
        b"46\x10\x08\x00\x00\x01\x00,9",
        b"012345678\xbd",
    ]


def test_documents_are_what_they_were() -> None:
    assert [mutate_json(_TREE, Random(seed)) for seed in range(3)] == [
        b'{\n  "a": 1,\n  "b": [\n    1.5,\n    "x",\n    null\n  ],\n  "c": {\n   01": true\n  }\n}',
        b'{\n  "b": [\n    "x",\n    null\n  ],\n  "c": {}\n}',
        b'{"a": 1, "b": [1.5, "x", null], "c": {"d": truem}',
    ]


def test_another_process_with_another_hash_seed_makes_the_same_cases(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fuzz.test_mutators import digest_of_cases; "
        "print(digest_of_cases(Path(sys.argv[1])))"
    )
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    environment = {**os.environ, "PYTHONHASHSEED": "17", "PYTHONPATH": str(Path(__file__).parents[1])}
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "there"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.strip() == digest_of_cases(tmp_path / "here")


def test_the_input_is_left_as_it_is() -> None:
    for seed in range(200):
        mutate_tree(_TREE, Random(seed))

    assert _TREE == {"a": 1, "b": [1.5, "x", None], "c": {"d": True}}


def test_most_mutations_change_something_and_leave_it_readable() -> None:
    good = json.dumps(_TREE)
    trees = [mutate_tree(_TREE, Random(seed)) for seed in range(500)]
    assert sum(json.dumps(tree) != good for tree in trees) > 450
    assert sum(_is_readable(mutate_json(_TREE, Random(seed)), json.loads) for seed in range(500)) > 350
    assert sum(_is_readable(mutate_yaml(_TREE, Random(seed)), yaml.safe_load) for seed in range(500)) > 350


def _is_readable(data: bytes, read: object) -> bool:
    try:
        read(data)  # type: ignore[operator]
    except (ValueError, yaml.YAMLError, RecursionError, AttributeError):  # the last is PyYAML's own fault
        return False
    return True


def test_a_png_with_right_checksums_is_itself_and_a_damaged_one_decodes() -> None:
    data = files("images")["plain.png"]
    assert with_right_checksums(data) == data

    palette = files("images")["palette.png"]
    start = palette.index(b"PLTE") + 4
    damaged = with_right_checksums(palette[:start] + b"\xff" + palette[start + 1 :])
    assert damaged != palette
    assert cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_COLOR) is not None


@pytest.mark.parametrize(("bundle", "mutate"), [("tflite", mutate_tflite), ("onnx", mutate_onnx)])
def test_schemas_reach_another_place_each_time(bundle: str, mutate: object) -> None:
    data = files(f"bundles/{bundle}")[f"basis.{bundle}"]
    made = set()
    for seed in range(60):
        try:
            made.add(mutate(data, Random(seed)))  # type: ignore[operator]
        except (ValueError, TypeError):
            continue
    assert len(made) > 40


def test_a_plan_shares_cases_out_and_mixes_kinds() -> None:
    counts = counts_of(KINDS, 1000)
    assert sum(counts.values()) == 1000
    assert min(counts.values()) >= 1
    by_name = {kind.name: kind.share for kind in KINDS}
    assert abs(counts["coco"] / counts["recipe"] - by_name["coco"] / by_name["recipe"]) < 0.1

    planned = list(plan(KINDS, 1000, 3))
    assert len(set(planned)) == 1000
    assert {name for name, _ in planned[:200]} >= {"coco", "manifest", "image-png", "graph-tflite"}
    assert {seed // 1_000_000 for _, seed in planned} == {3}
