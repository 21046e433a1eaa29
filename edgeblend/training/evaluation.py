"""How accurate averaged weights are, and accuracies as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from edgeblend.calibration.data.coco import CocoDataset
from edgeblend.calibration.evaluation.accuracy import Accuracy, AveragePrecision, measure_segmenter
from edgeblend.converters.reference import torch_segmenter
from edgeblend.model.blendmask import build_network
from edgeblend.model.config_files.schema import ModelConfig

_NUMBERS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


def evaluate(
    config: ModelConfig,
    state: Mapping[str, Tensor],
    dataset: CocoDataset,
    *,
    class_names: Sequence[str],
    device: torch.device,
    progress: bool = False,
) -> Accuracy:
    """Return the average precision of weights in float32, on the canvas that converting takes by default.

    Args:
        config: of the network.
        state: its weights and statistics, perhaps with the auxiliary head's.
        dataset: the truth.
        class_names: the network's, in its order.
        device: where to compute.
        progress: show a bar on standard error.
    """
    with torch.random.fork_rng(devices=[]):  # random weights are drawn, and none of them used
        network = build_network(config).to(device)
    own = network.state_dict()
    with torch.no_grad():
        for name, tensor in state.items():
            if name in own:
                own[name].copy_(tensor)
    segmenter = torch_segmenter(network, class_names=class_names, device=device)
    return measure_segmenter(segmenter, dataset, progress=progress)


def accuracy_to_record(accuracy: Accuracy) -> dict[str, Any]:
    """Return it as dicts and numbers; what was not measured is nan."""
    return {
        "box": _part_to_record(accuracy.box),
        "mask": _part_to_record(accuracy.mask),
        "num_images": accuracy.num_images,
        "num_objects": accuracy.num_objects,
    }


def record_to_accuracy(record: Mapping[str, Any]) -> Accuracy:
    """Return what :func:`accuracy_to_record` was given."""
    return Accuracy(
        box=_record_to_part(record["box"]),
        mask=_record_to_part(record["mask"]),
        num_images=record["num_images"],
        num_objects=record["num_objects"],
    )


def _part_to_record(part: AveragePrecision) -> dict[str, Any]:
    return {**{name: getattr(part, name) for name in _NUMBERS}, "per_class": dict(part.per_class)}


def _record_to_part(record: Mapping[str, Any]) -> AveragePrecision:
    return AveragePrecision(**{**record, "per_class": MappingProxyType(dict(record["per_class"]))})
