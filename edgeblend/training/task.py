"""What is to be learnt, from what and how: checked before anything is made or computed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from edgeblend.arguments.checks import check_path
from edgeblend.calibration.data.coco import CocoDataset, read_coco
from edgeblend.calibration.data.coco_segmentation import coco_tools
from edgeblend.errors import CheckpointError, ConfigError, InputError, TrainingError
from edgeblend.model.config import load_config, named_settings
from edgeblend.model.config_files.read import Setting
from edgeblend.model.config_files.schema import ModelConfig
from edgeblend.training.devices import choose_device, choose_precision
from edgeblend.training.files import check_classes
from edgeblend.training.options import TrainingOptions, check_training_options

_CHANGEABLE = ("device", "precision", "workers", "evaluate_every")
"""Options that may differ when a run is resumed, because they do not change what is learnt or how."""

_SHOWN = 4  # differences that a message lists


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Everything about a run that stays as it is."""

    config: ModelConfig
    """With the number of classes of the data."""
    settings: dict[str, Setting]
    """What its file says, bases included."""
    data: CocoDataset
    validation: CocoDataset | None
    options: TrainingOptions
    device: torch.device
    dtype: torch.dtype

    @property
    def steps_per_epoch(self) -> int:
        """The last step of an epoch may have fewer pictures."""
        return -(-len(self.data.images) // self.options.batch_size)

    def describe(self) -> str:
        """Return one line."""
        data, options = self.data, self.options
        return (
            f"training {self.config.name} on {len(data.images)} pictures, {len(data.class_names)} classes:"
            f" {options.epochs} epochs of {self.steps_per_epoch} steps, on {self.device} in"
            f" {str(self.dtype).removeprefix('torch.')}"
        )


def define_task(
    dataset: str | Path | CocoDataset,
    *,
    config: str | Path,
    validation: str | Path | CocoDataset | None = None,
    options: TrainingOptions,
) -> Task:
    """Read and check what a run is given.

    Raises:
        InputError: the data cannot be used, or an option is out of range.
        ConfigError: the config is unknown, not supported, or panoptic.
        TrainingError: there is no object to learn from.
    """
    check_training_options(options)
    if not isinstance(dataset, CocoDataset):
        check_path("dataset", dataset)
    if not isinstance(validation, CocoDataset | None):
        check_path("validation", validation)
    device = choose_device(options.device)
    dtype = choose_precision(options.precision, device)
    given = load_config(config)
    if given.semantic is not None:
        raise ConfigError(
            f"the config {given.name} is panoptic, and what it says about stuff cannot be trained here; take"
            f" the same config without it, such as {given.name.removeprefix('Panoptic/')}"
        )
    data = dataset if isinstance(dataset, CocoDataset) else read_coco(dataset)
    check_classes(data.class_names, data.category_ids)
    if _count_objects(data) == 0:
        raise TrainingError(f"{data.source}: no object to learn from in {len(data.images)} pictures")
    return Task(
        config=_with_classes(given, len(data.class_names)),
        settings=named_settings(config),
        data=data,
        validation=_read_validation(validation, data),
        options=options,
        device=device,
        dtype=dtype,
    )


def _read_validation(given: str | Path | CocoDataset | None, data: CocoDataset) -> CocoDataset | None:
    if given is None:
        return None
    coco_tools()  # measuring needs it, and that would show only after an epoch
    validation = given if isinstance(given, CocoDataset) else read_coco(given, class_names=data.class_names)
    if set(validation.class_names) != set(data.class_names):
        raise InputError(
            f"{validation.source}: its classes are not those of {data.source}; read it with class_names of"
            " the latter"
        )
    if _count_objects(validation) == 0:
        raise InputError(f"{validation.source}: no object to measure accuracy on")
    return validation


def _count_objects(data: CocoDataset) -> int:
    return sum(not item.crowd for image in data.images for item in image.objects)


def _with_classes(config: ModelConfig, count: int) -> ModelConfig:
    return dataclasses.replace(
        config,
        fcos=dataclasses.replace(config.fcos, num_classes=count),
        basis=dataclasses.replace(config.basis, num_semantic_classes=count),
    )


def fingerprint(task: Task) -> dict[str, str]:
    """Return what must be the same when a run is resumed, as text by name."""
    options = {name: value for name, value in _flat(task.options) if name not in _CHANGEABLE}
    options |= {"learning_rate": str(task.options.base_rate), "weight_decay": str(task.options.decay)}
    config = {f"config.{name}": value for name, value in _flat(task.config) if name != "name"}
    validation = "none" if task.validation is None else _describe_data(task.validation)
    return {
        **options,
        **config,
        "classes": ", ".join(
            f"{category} {name}"
            for category, name in zip(task.data.category_ids, task.data.class_names, strict=True)
        ),
        "data": _describe_data(task.data),
        "validation": validation,
    }


def check_fingerprint(expected: dict[str, str], actual: dict[str, str], folder: Path) -> None:
    """Compare the fingerprint of the run in a folder with that of the task that would resume it.

    Raises:
        CheckpointError: they differ; says in what.
    """
    changed = [
        f"{name} was {expected.get(name, 'not there')} and is {actual.get(name, 'not there')}"
        for name in {**actual, **expected}
        if expected.get(name) != actual.get(name)
    ]
    if changed:
        more = f"; and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise CheckpointError(
            f"{folder}: cannot be resumed with other settings: {'; '.join(changed[:_SHOWN])}{more}"
        )


def _flat(values: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The fields of a dataclass and of those in it: dotted name and text."""
    assert dataclasses.is_dataclass(values)
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flat(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", str(value)


def _describe_data(data: CocoDataset) -> str:
    """A digest of what is annotated, wherever the files lie."""
    digest = hashlib.sha256()
    for image in data.images:
        digest.update(repr((image.id, image.path.name, image.width, image.height)).encode())
        for item in image.objects:
            digest.update(repr((item.id, item.class_index, item.crowd, item.area)).encode())
            digest.update(item.box.tobytes())
    return f"{len(data.images)} pictures with digest {digest.hexdigest()[:12]}"
