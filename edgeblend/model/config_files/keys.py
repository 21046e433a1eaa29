"""Which keys a config may hold, of which type, and what they are when a file does not say.

Sections that only training reads are accepted unseen. In the sections that shape inference every key must be
known, so that a misspelt or newer key cannot silently change what a checkpoint computes.
"""

from __future__ import annotations

import ast
import difflib
import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from edgeblend.errors import ConfigError
from edgeblend.model.config_files.read import Setting

BATCH_NORMS = ("FrozenBN", "BN", "SyncBN")
"""Three ways to train a batch norm; at inference they compute the same."""


_MOST_CLASSES = 20_000
"""Counts have an upper limit, several times what anybody trains, so that a digit too many takes no memory."""

_MOST_LITERAL = 1000
"""Characters of a value that is read as a Python literal."""

_MOST_FLOAT = 1e300
"""Not infinite, and what Python's larger integers can be compared with."""

_MOST_PROBLEMS = 20
"""Problems that an error names."""


@dataclass(frozen=True, slots=True)
class Key:
    """One known key. A ``default`` that is a tuple makes it a list of the kind of its first element."""

    default: Any
    one_of: tuple[Any, ...] = ()
    """What is supported; empty: anything within the limits."""
    low: float = -math.inf
    high: float = math.inf


def _count(default: int | tuple[int, ...], at_least: int = 1, at_most: int = 1_000_000) -> Key:
    return Key(default, low=at_least, high=at_most)


def _size(default: int) -> Key:
    return _count(default, at_most=32_768)


def _channels(default: int) -> Key:
    return _count(default, at_most=2_048)


def _convs(default: int) -> Key:
    return _count(default, at_least=0, at_most=16)


def _fraction(default: float) -> Key:
    return Key(default, low=0.0, high=1.0)


def _only(value: Any) -> Key:  # noqa: ANN401 - any YAML scalar
    return Key(value, one_of=(value,))


_KNOWN: dict[str, dict[str, Key]] = {
    "INPUT": {"FORMAT": _only("BGR"), "MIN_SIZE_TEST": _size(800), "MAX_SIZE_TEST": _size(1333)},
    "MODEL": {
        "META_ARCHITECTURE": _only("BlendMask"),
        "MOBILENET": _only(False),
        "FCPOSE_ON": _only(False),
        "PIXEL_MEAN": Key((103.53, 116.28, 123.675)),
        "PIXEL_STD": Key((1.0, 1.0, 1.0), low=1e-6),
    },
    "MODEL.PROPOSAL_GENERATOR": {"NAME": _only("FCOS")},
    "MODEL.BACKBONE": {
        "NAME": Key(
            "build_fcos_resnet_fpn_backbone",
            one_of=(
                "build_fcos_resnet_fpn_backbone",
                "build_fcos_dla_fpn_backbone",
                "build_fcos_efficientnet_lite_fpn_backbone",
            ),
        ),
        "ANTI_ALIAS": _only(False),
        "FREEZE_AT": Key(2, low=-1, high=5),
    },
    "MODEL.RESNETS": {
        "DEPTH": Key(50, one_of=(50, 101)),
        "NORM": Key("FrozenBN", one_of=BATCH_NORMS),
        "STRIDE_IN_1X1": Key(True),
        "DEFORM_ON_PER_STAGE": Key((False, False, False, False)),
        "DEFORM_MODULATED": Key(False),
        "DEFORM_INTERVAL": _count(1),
        "DEFORM_NUM_GROUPS": _only(1),
        "NUM_GROUPS": _only(1),
        "WIDTH_PER_GROUP": _only(64),
        "STEM_OUT_CHANNELS": _only(64),
        "RES2_OUT_CHANNELS": _only(256),
        "RES5_DILATION": _only(1),
    },
    "MODEL.EFFICIENTNET_LITE": {
        "CONV_BODY": _only("Lite0"),
        "NORM": Key("FrozenBN", one_of=BATCH_NORMS),
    },
    "MODEL.DLA": {"CONV_BODY": _only("DLA34"), "NORM": Key("FrozenBN", one_of=BATCH_NORMS)},
    "MODEL.FPN": {
        "IN_FEATURES": Key(("res3", "res4", "res5")),
        "OUT_CHANNELS": _channels(256),
        "NORM": _only(""),
        "FUSE_TYPE": _only("sum"),
    },
    "MODEL.FCOS": {
        "TOP_LEVELS": Key(2, one_of=(0, 1, 2)),
        "IN_FEATURES": Key(("p3", "p4", "p5", "p6", "p7")),
        "FPN_STRIDES": _count((8, 16, 32, 64, 128)),
        "NUM_CLASSES": _count(80, at_most=_MOST_CLASSES),
        "NORM": Key("GN", one_of=("GN", "BN", "SyncBN", "none")),
        "NUM_CLS_CONVS": _convs(4),
        "NUM_BOX_CONVS": _convs(4),
        "NUM_SHARE_CONVS": _convs(0),
        "USE_SCALE": Key(True),
        "USE_RELU": _only(True),
        "USE_DEFORMABLE": _only(False),
        "BOX_QUALITY": _only("ctrness"),
        "THRESH_WITH_CTR": Key(False),
        "INFERENCE_TH_TEST": _fraction(0.05),
        "NMS_TH": _fraction(0.6),
        "PRE_NMS_TOPK_TEST": _count(1000),
        "POST_NMS_TOPK_TEST": _count(100),
        "PRIOR_PROB": Key(0.01, low=1e-6, high=1 - 1e-6),
        "SIZES_OF_INTEREST": _count((64, 128, 256, 512)),
        "CENTER_SAMPLE": Key(True),
        "POS_RADIUS": Key(1.5, low=0.0),
        "LOC_LOSS_TYPE": Key("giou", one_of=("giou", "iou", "linear_iou")),
    },
    "MODEL.BASIS_MODULE": {
        "NAME": _only("ProtoNet"),
        "NUM_BASES": _count(4, at_most=64),
        "IN_FEATURES": Key(("p3", "p4", "p5")),
        "CONVS_DIM": _channels(128),
        "NUM_CONVS": _convs(3),
        "NORM": Key("SyncBN", one_of=BATCH_NORMS),
        "LOSS_ON": Key(False),
        "LOSS_WEIGHT": Key(0.3, low=0.0),
        "NUM_CLASSES": _count(80, at_most=_MOST_CLASSES),
    },
    "MODEL.BLENDMASK": {
        "ATTN_SIZE": _count(14, at_most=64),
        "BOTTOM_RESOLUTION": _count(56, at_most=1024),
        "TOP_INTERP": Key("bilinear", one_of=("bilinear", "nearest")),
        "POOLER_TYPE": _only("ROIAlignV2"),
        "POOLER_SAMPLING_RATIO": _only(1),
        "POOLER_SCALES": Key((0.25,), one_of=(0.25,)),
    },
    "MODEL.SEM_SEG_HEAD": {
        "NAME": _only("SemSegFPNHead"),
        "IN_FEATURES": Key(("p2", "p3", "p4", "p5")),
        "NUM_CLASSES": _count(54, at_least=2, at_most=_MOST_CLASSES),
        "CONVS_DIM": _channels(128),
        "COMMON_STRIDE": _only(4),
        "NORM": _only("GN"),
    },
    "MODEL.PANOPTIC_FPN.COMBINE": {
        "ENABLED": Key(False),
        "OVERLAP_THRESH": _fraction(0.5),
        "STUFF_AREA_LIMIT": _count(4096, at_least=0, at_most=10**9),
        "INSTANCES_CONFIDENCE_THRESH": _fraction(0.5),
    },
}

KEYS: dict[str, Key] = {
    f"{section}.{name}": key for section, keys in _KNOWN.items() for name, key in keys.items()
}
"""Every key that shapes inference, by its dotted name."""

_UNREAD_NAMES = {
    "": "_BASE_ CUDNN_BENCHMARK DATALOADER DATASETS FLOAT32_PRECISION GLOBAL OUTPUT_DIR SEED SOLVER "
    "TEST VERSION VIS_PERIOD",
    "INPUT": "CROP HFLIP_TRAIN IS_ROTATE MASK_FORMAT MAX_SIZE_TRAIN MIN_SIZE_TRAIN "
    "MIN_SIZE_TRAIN_SAMPLING RANDOM_FLIP",
    "MODEL": "DEVICE KEYPOINT_ON LOAD_PROPOSALS MASK_ON WEIGHTS ANCHOR_GENERATOR BATEXT BOXINST BiFPN "
    "CONDINST FCPOSE MEInst RETINANET ROI_BOX_CASCADE_HEAD ROI_BOX_HEAD ROI_HEADS ROI_KEYPOINT_HEAD "
    "ROI_MASK_HEAD RPN SOLOV2 TOP_MODULE VOVNET",
    "MODEL.DLA": "OUT_FEATURES",
    "MODEL.PROPOSAL_GENERATOR": "MIN_SIZE",
    "MODEL.RESNETS": "OUT_FEATURES",
    "MODEL.FCOS": "INFERENCE_TH_TRAIN LOSS_ALPHA LOSS_GAMMA LOSS_NORMALIZER_CLS LOSS_WEIGHT_CLS "
    "POST_NMS_TOPK_TRAIN PRE_NMS_TOPK_TRAIN YIELD_BOX_FEATURES YIELD_PROPOSAL",
    "MODEL.BASIS_MODULE": "ANN_SET COMMON_STRIDE",
    "MODEL.BLENDMASK": "INSTANCE_LOSS_WEIGHT VISUALIZE",
    "MODEL.SEM_SEG_HEAD": "IGNORE_VALUE LOSS_WEIGHT",
    "MODEL.PANOPTIC_FPN": "INSTANCE_LOSS_WEIGHT",
}

_UNREAD = frozenset(
    f"{section}.{name}".lstrip(".") for section, names in _UNREAD_NAMES.items() for name in names.split()
)
"""Keys and whole sections that only training, or another kind of model, reads."""

_SECTIONS = {".".join(key.split(".")[:depth]) for key in KEYS for depth in range(1, key.count(".") + 1)}

_short = reprlib.Repr()
_short.maxlevel = 2
_short.maxstring = _short.maxother = 60


def check_settings(settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return a value for every key of :data:`KEYS`: the file's, converted, or else the default.

    Raises:
        ConfigError: names the keys that are unknown, of a wrong type or of a value that is not supported.
    """
    values = {name: key.default for name, key in KEYS.items()}
    problems = _take(settings, values)
    if named := list(islice(problems, _MOST_PROBLEMS)):
        more = "; and more" if next(problems, None) is not None else ""
        raise ConfigError(f"{'; '.join(named)}{more}.")
    return values


def _take(settings: Mapping[str, Setting], values: dict[str, Any]) -> Iterator[str]:
    """Put every setting into `values`; yield what is wrong."""
    for name, setting in settings.items():
        if name in KEYS:
            try:
                values[name] = _convert(setting.value, KEYS[name])
            except ValueError as error:
                yield f"{setting.place}: {name} is {_short.repr(setting.value)}; {error}"
        elif not _is_unread(name):
            yield f"{setting.place}: {_unknown(name)}"


def _is_unread(name: str) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:depth]) in _UNREAD for depth in range(1, len(parts) + 1))


def _unknown(name: str) -> str:
    if name in _SECTIONS:
        return f"{name} is a section; expected keys below it"
    near = difflib.get_close_matches(name[:120], [*KEYS, *_UNREAD], n=1, cutoff=0.0)[0]
    return f"unknown key {name} (the nearest known key is {near})"


def _convert(value: Any, key: Key) -> Any:  # noqa: ANN401 - YAML in, the key's own type out
    if isinstance(value, str) and not isinstance(key.default, str):
        value = _literal(value)
    if not isinstance(key.default, tuple):
        _check_limits([converted := _scalar(value, type(key.default))], key)
        return converted
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list of {type(key.default[0]).__name__}")
    items = tuple(_scalar(item, type(key.default[0])) for item in value)
    _check_limits(items, key)
    return items


def _literal(text: str) -> Any:  # noqa: ANN401 - any Python literal
    """Python tuples and numbers such as 1e-3 reach us as YAML strings."""
    if len(text) > _MOST_LITERAL:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _scalar(value: Any, kind: type) -> Any:  # noqa: ANN401 - returns a `kind`
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        fits = abs(value) <= _MOST_FLOAT
        value = float(value) if fits else value
    if not fits:
        raise ValueError(f"expected a value of type {kind.__name__}, not {_short.repr(value)}")
    return value


def _check_limits(items: Iterable[Any], key: Key) -> None:
    for item in items:
        if key.one_of and item not in key.one_of:
            raise ValueError(f"supported: {', '.join(map(repr, key.one_of))}")
        if isinstance(item, int | float) and not key.low <= item <= key.high:
            upper = "" if key.high == math.inf else f" and at most {key.high:g}"
            raise ValueError(f"expected at least {key.low:g}{upper}")
