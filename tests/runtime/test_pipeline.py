"""The stages one by one give what the segmenter gives, and nobody goes around them."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from edgeblend.runtime import pipeline
from edgeblend.runtime.attention import load_attention
from edgeblend.runtime.segmenter import Segmenter
from edgeblend.runtime.sessions import close_sessions, open_sessions

BETWEEN_GRAPHS = {"basis_inputs", "detector_inputs"}
"""Functions that hand tensors to graphs."""


@pytest.fixture(scope="module")
def instances(small_bundle, photograph):
    with Segmenter.load(small_bundle) as segmenter:
        return segmenter(photograph)


def test_the_stages_one_by_one_give_what_the_segmenter_gives(small_bundle, photograph, instances):
    manifest = small_bundle.manifest
    file = manifest.attention.file
    layer = load_attention(small_bundle.file(file), manifest.blend) if file else None
    sessions = open_sessions(small_bundle)
    canvas = pipeline.prepare(manifest, photograph).canvas
    outputs = pipeline.detect(manifest, sessions["detector"], pipeline.detector_feed(manifest, canvas))
    detections = pipeline.find_detections(manifest, outputs)
    attention = pipeline.attend(manifest, outputs, detections, layer)
    feed = pipeline.basis_feed(manifest, outputs)
    bases = pipeline.compute_bases(manifest, sessions["basis"], feed)["bases", None]
    probs = pipeline.blend(manifest, bases, detections, attention)
    close_sessions(sessions)
    assert len(detections) == len(instances) > 0
    np.testing.assert_array_equal(probs, instances.mask_probs)
    np.testing.assert_array_equal(detections.scores, instances.scores)


def test_timings_are_complete_and_nobody_can_change_them(instances):
    assert list(instances.timings_ms)[-1] == "assemble"
    with pytest.raises(TypeError):
        instances.timings_ms["assemble"] = 0.0


def users_of(source: str) -> set[str]:
    """Which of the functions between graphs a source imports."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return {name.name for node in nodes for name in node.names} & BETWEEN_GRAPHS


def test_only_the_pipeline_and_the_engines_contract_hand_tensors_to_graphs():
    users = set()
    for part in ("runtime", "calibration", "converters", "testing", "training", "demo"):
        package = f"edgeblend.{part}"
        for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            spec = importlib.util.find_spec(module.name)
            assert spec is not None and spec.origin is not None
            if users_of(Path(spec.origin).read_text(encoding="utf-8")):
                users.add(module.name)
    assert users == {"edgeblend.runtime.pipeline", "edgeblend.testing.engine_contract"}


def test_a_detour_is_seen():
    assert users_of("def f():\n    from edgeblend.runtime.tensors import basis_inputs") == {"basis_inputs"}
