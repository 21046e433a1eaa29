"""Configs as people have them: the published YAML files, and what training runs dump."""

import dataclasses
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeblend.errors import ConfigError
from edgeblend.model.blendmask import expected_shapes
from edgeblend.model.config import (
    PUBLISHED,
    blend_spec,
    decode_spec,
    load_config,
    named_settings,
    panoptic_spec,
)
from edgeblend.model.config_files.schema import ModelConfig
from edgeblend.training.files import write_config

FACTS = Path(__file__).parents[1] / "data" / "config_keys.json"


@cache
def facts() -> dict[str, dict[str, Any]]:
    return json.loads(FACTS.read_text())


def sections(settings: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys as nested sections."""
    document: dict[str, Any] = {}
    for dotted, value in settings.items():
        *path, name = dotted.split(".")
        section = document
        for part in path:
            section = section.setdefault(part, {})
        section[name] = value
    return document


def tuples(value: Any) -> Any:
    """Lists as the tuples that they are in the toolbox's defaults."""
    if isinstance(value, list):
        return tuple(tuples(item) for item in value)
    return {key: tuples(item) for key, item in value.items()} if isinstance(value, dict) else value


def write_published(name: str, folder: Path) -> Path:
    """A base with what all published configs set alike, and a file over it."""
    common = dict.fromkeys(facts()["published"][name])
    for settings in facts()["published"].values():
        common = {key: settings[key] for key in common if key in settings}
    same = {
        key: value
        for key, value in common.items()
        if all(settings[key] == value for settings in facts()["published"].values())
    }
    (folder / "Base.yaml").write_text(yaml.safe_dump(sections(same)))
    own = {key: value for key, value in facts()["published"][name].items() if key not in same}
    path = folder / "published.yaml"
    path.write_text(f"_BASE_: Base.yaml\n{yaml.safe_dump(sections(own))}")
    return path


def write_dump(name: str, folder: Path, **changes: Any) -> Path:
    """Every key of the toolbox, tuples tagged as such."""
    settings = {**facts()["defaults"], **facts()["published"][name], **changes}
    path = folder / "config.yaml"
    path.write_text(yaml.dump(tuples(sections(settings))))
    return path


def assert_same_network(config: ModelConfig, named: ModelConfig) -> None:
    assert dataclasses.replace(config, name=named.name) == named
    assert expected_shapes(config) == expected_shapes(named)
    for spec in (decode_spec, blend_spec, panoptic_spec):
        assert spec(config) == spec(named)


def test_the_facts_cover_all_published_configs():
    assert set(facts()["published"]) == set(PUBLISHED)
    assert len(facts()["defaults"]) == 392


@pytest.mark.parametrize("write", [write_published, write_dump])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_and_their_dumps_are_the_named_network(
    tmp_path: Path, name: str, write: Callable[[str, Path], Path]
):
    assert_same_network(load_config(write(name, tmp_path)), load_config(name))


def test_dumps_hold_what_made_them_hard_to_read(tmp_path):
    text = write_dump("DLA_34_syncbn_4x", tmp_path).read_text()
    for part in ("!!python/tuple", "BiFPN:", "FCPOSE_ON: false", "FREEZE_AT: -1", "RETINANET:"):
        assert part in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.BiFPN.NUM_REPEATS", 3),
        ("MODEL.FCPOSE.ATTN_LEN", 7),
        ("MODEL.RPN.HEAD_NAME", "Other"),
        ("SOLVER.BASE_LR", 1.0),
        ("DATALOADER.NUM_WORKERS", 0),
        ("INPUT.CROP.ENABLED", True),
    ],
)
def test_other_values_of_what_no_blendmask_reads_change_nothing(tmp_path, key, value):
    assert_same_network(load_config(write_dump("R_50_3x", tmp_path, **{key: value})), load_config("R_50_3x"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.FCPOSE_ON", True),
        ("MODEL.MOBILENET", True),
        ("MODEL.META_ARCHITECTURE", "CondInst"),
        ("MODEL.PROPOSAL_GENERATOR.NAME", "RPN"),
        ("MODEL.BACKBONE.NAME", "build_fcos_resnet_bifpn_backbone"),
        ("MODEL.BACKBONE.ANTI_ALIAS", True),
        ("MODEL.FCOS.USE_DEFORMABLE", True),
        ("MODEL.FCOS.BOX_QUALITY", "iou"),
        ("MODEL.DLA.CONV_BODY", "DLA60"),
        ("MODEL.RESNETS.WIDTH_PER_GROUP", 4),
    ],
)
def test_what_switches_another_network_on_is_named(tmp_path, key, value):
    path = write_dump("R_50_3x", tmp_path, **{key: value})
    with pytest.raises(ConfigError, match=rf"config\.yaml:\d+: {key} is {value!r}; supported: "):
        load_config(path)


def test_training_writes_a_dump_as_a_config_that_loads(tmp_path):
    settings = named_settings(write_dump("R_50_3x", tmp_path))
    write_config(tmp_path / "trained.yaml", settings, 5)
    trained = load_config(tmp_path / "trained.yaml")
    assert (trained.fcos.num_classes, trained.input.max_size) == (5, 1333)


def test_a_typo_in_a_dump_is_named(tmp_path):
    path = write_dump("R_50_3x", tmp_path, **{"MODEL.FCOS.NUM_CLASES": 3})
    with pytest.raises(
        ConfigError, match=r"MODEL\.FCOS\.NUM_CLASES \(the nearest known key is MODEL\.FCOS\.NUM_CLASSES"
    ):
        load_config(path)
