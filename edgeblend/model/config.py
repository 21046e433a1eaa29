"""BlendMask configs: the published ones by name, or a YAML file in the same format."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

from edgeblend.arguments.checks import check_path
from edgeblend.errors import ConfigError
from edgeblend.files.paths import is_dir, is_file
from edgeblend.model.config_files.build import build_config
from edgeblend.model.config_files.keys import check_settings
from edgeblend.model.config_files.read import Setting, read_settings
from edgeblend.model.config_files.schema import ModelConfig
from edgeblend.spec import BlendSpec, DecodeSpec, LevelSpec, PanopticSpec

__all__ = [
    "NAMED",
    "OWN",
    "PUBLISHED",
    "ModelConfig",
    "blend_spec",
    "decode_spec",
    "load_config",
    "named_settings",
    "panoptic_spec",
]

PUBLISHED: tuple[str, ...] = (
    "R_50_1x",
    "R_50_3x",
    "R_101_3x",
    "R_101_dcni3_5x",
    "550_R_50_1x",
    "550_R_50_3x",
    "550_R_50_dcni3_5x",
    "RT_R_50_4x_syncbn_shtw",
    "RT_R_50_4x_bn-head_syncbn_shtw",
    "DLA_34_syncbn_4x",
    "Panoptic/R_50_1x",
    "Panoptic/R_50_3x",
    "Panoptic/R_101_3x",
    "Panoptic/R_50_dcni3_5x",
    "Panoptic/R_101_dcni3_5x",
    "Person/R_50_1x",
)
"""The configs that checkpoints were published for."""

OWN: tuple[str, ...] = ("Lite0_320",)
"""The configs that are this package's own, for training."""

NAMED = PUBLISHED + OWN

BASIS_STRIDE: Final = 4
"""Network pixels a cell of the bases; the only pooler scale that is supported is one over it."""

_FOLDER = Path(__file__).parent / "configs"


def load_config(name_or_path: str | Path) -> ModelConfig:
    """Return the config of a YAML file, or of a name in :data:`NAMED`; a file of that name comes first.

    Raises:
        ConfigError: there is no such file or name, or the file is not a config this package supports.
    """
    path, name = _find(name_or_path)
    settings = read_settings(path)
    return build_config(name, check_settings(settings), settings.keys())


def named_settings(name_or_path: str | Path) -> dict[str, Setting]:
    """Return what a config sets, bases included, by dotted key.

    Raises:
        ConfigError: as :func:`load_config`, but values are not checked.
    """
    return read_settings(_find(name_or_path)[0])


def _find(name_or_path: str | Path) -> tuple[Path, str]:
    """The file of a config, and what it is called."""
    path = check_path("config", name_or_path)
    if is_file(path):
        return path, path.stem
    name = str(name_or_path)
    if name in NAMED:
        return _FOLDER / f"{name}.yaml", name
    if is_dir(path):
        raise ConfigError(f"The config {name} is a folder; expected a YAML file or a known name.")
    near = difflib.get_close_matches(name[:100].removesuffix(".yaml"), NAMED, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(NAMED)}."
    raise ConfigError(f"The config {name[:300]!r} is neither a file nor a known name; {hint}")


def decode_spec(config: ModelConfig) -> DecodeSpec:
    """How this model's head outputs become detections, for the manifest."""
    fcos = config.fcos
    levels = zip(fcos.in_features, fcos.strides, strict=True)
    return DecodeSpec(
        levels=tuple(LevelSpec(name=name, stride=stride) for name, stride in levels),
        num_classes=fcos.num_classes,
        score_threshold=fcos.score_threshold,
        threshold_with_centerness=fcos.threshold_with_centerness,
        nms_threshold=fcos.nms_threshold,
        pre_nms_top_k=fcos.pre_nms_top_k,
        max_detections=fcos.max_detections,
    )


def blend_spec(config: ModelConfig) -> BlendSpec:
    """How this model's bases and attention become masks, for the manifest."""
    return BlendSpec(
        num_bases=config.basis.num_bases,
        attention_size=config.blend.attention_size,
        attention_interpolation=config.blend.attention_interpolation,
        mask_size=config.blend.mask_size,
        basis_stride=BASIS_STRIDE,
    )


def panoptic_spec(config: ModelConfig) -> PanopticSpec | None:
    """How this model's instances and semantic map combine, for the manifest; None: it has no semantic map."""
    if config.panoptic is None:
        return None
    return PanopticSpec(
        overlap_threshold=config.panoptic.overlap_threshold,
        stuff_area_limit=config.panoptic.stuff_area_limit,
        instance_score_threshold=config.panoptic.instance_score_threshold,
    )
