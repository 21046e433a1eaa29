"""Training from start to end: the loop, evaluation, resuming."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from edgeblend.calibration.accuracy import Accuracy, measure_segmenter
from edgeblend.calibration.coco import CocoDataset, read_coco
from edgeblend.converters.reference import torch_segmenter
from edgeblend.errors import CheckpointError, TrainingError
from edgeblend.model.blendmask import BlendMask, build_network
from edgeblend.model.config import load_config, named_settings
from edgeblend.model.config_schema import ModelConfig
from edgeblend.model.criterion import TrainingNetwork
from edgeblend.model.pretrained import (
    load_imagenet,
    load_training_state,
    start_from,
    training_state,
)
from edgeblend.training import files
from edgeblend.training.average import MovingAverage
from edgeblend.training.batches import load_epoch
from edgeblend.training.examples import ResizeRule
from edgeblend.training.optimizer import build_optimizer, build_schedule, clip_gradients
from edgeblend.training.options import (
    TrainingOptions,
    check_training_options,
    choose_device,
    choose_precision,
)

Report = Callable[[str], None]

_ANNOUNCED = 3  # names that a message lists


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Where the model is, and how good."""

    model: Path
    config: Path
    class_names: Path
    accuracy: Accuracy | None
    """Of the model that was kept, on the validation set; None without one."""
    epoch: int
    """That it is from, counted from 1."""
    log: tuple[Mapping[str, Any], ...]
    """One record an epoch, as in ``log.jsonl``."""


def train(
    dataset: str | Path | CocoDataset,
    out: str | Path,
    *,
    config: str | Path,
    validation: str | Path | CocoDataset | None = None,
    weights: str | Path | None = "imagenet",
    resume: bool = False,
    options: TrainingOptions | None = None,
    report: Report | None = None,
    progress: bool = False,
) -> TrainingResult:
    """Train a network on a COCO data set.

    After every epoch the folder holds a whole state: an interruption costs at most the epoch that it came in.

    Args:
        dataset: annotations in COCO's format, or what :func:`~edgeblend.calibration.coco.read_coco` returned.
        out: a folder to make; see :mod:`edgeblend.training.files`.
        config: a known name or a YAML file; its number of classes is replaced by the data set's.
        validation: annotations to evaluate on, with the same category names; None: nothing is evaluated.
        weights: ``imagenet`` for the backbone's, None for random ones, or a checkpoint to fine-tune.
        resume: go on with the run that is in ``out``; config, data and options must be the same.
        options: how to train.
        report: called with one line at a time that is worth reading.
        progress: show a bar on standard error.

    Raises:
        InputError: the data cannot be used, or an option is out of range.
        ConfigError: the config is unknown or not supported.
        CheckpointError: ``weights`` do not fit, or there is nothing to resume.
        OutputError: ``out`` is not empty, or cannot be written.
        TrainingError: there is no object to learn from, or the losses are not finite.
    """
    options = options or TrainingOptions()
    check_training_options(options)
    say = report or _silent
    data = read_coco(dataset) if isinstance(dataset, str | Path) else dataset
    _check_data(data, say)
    held_out = _read_validation(validation, data)
    settings = named_settings(config)
    model_config = _with_classes(load_config(config), len(data.class_names))
    run = _Run(Path(out), model_config, data, held_out, options, say, progress)
    files.prepare_folder(run.out, resume=resume)
    if resume:
        run.restore()
    else:
        run.initialise(weights)
        files.write_config(run.out / files.CONFIG, settings, len(data.class_names))
        files.write_classes(run.out / files.CLASSES, data.class_names)
    for epoch in range(run.epoch, options.epochs):
        run.train_epoch(epoch)
    return run.result()


class _Run:
    """The state of one training run."""

    def __init__(
        self,
        out: Path,
        config: ModelConfig,
        data: CocoDataset,
        validation: CocoDataset | None,
        options: TrainingOptions,
        say: Report,
        progress: bool,
    ) -> None:
        self.out, self.config, self.data, self.validation = out, config, data, validation
        self.options, self.say, self.progress = options, say, progress
        self.device = choose_device(options.device)
        self.dtype = choose_precision(options.precision, self.device)
        torch.manual_seed(options.seed)
        self.training = TrainingNetwork(build_network(config))
        self.training.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.steps_per_epoch = -(-len(data.images) // options.batch_size)
        self.optimizer = build_optimizer(self.training, options)
        self.schedule = build_schedule(self.optimizer, options, self.steps_per_epoch * options.epochs)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.average = MovingAverage(training_state(self.training), decay=options.average_decay)
        self.epoch = 0
        self.log: list[dict[str, Any]] = []
        self.best = -math.inf
        self.best_epoch = 0
        self.accuracy: Accuracy | None = None

    def initialise(self, weights: str | Path | None) -> None:
        """Take the weights that training starts from."""
        if weights == "imagenet":
            if not load_imagenet(self.training.network.backbone.bottom_up):
                self.say(
                    f"no ImageNet weights are known for the backbone of {self.config.name}: it starts from"
                    " random weights; give a checkpoint to fine-tune instead"
                )
        elif weights is not None:
            anew = start_from(self.training, Path(weights))
            if anew:
                shown = ", ".join(anew[:_ANNOUNCED])
                self.say(f"{len(anew)} parameters start anew, for another number of classes: {shown} ...")
        self.average = MovingAverage(training_state(self.training), decay=self.options.average_decay)

    def train_epoch(self, epoch: int) -> None:
        """Run one epoch, evaluate, and write everything."""
        started = time.perf_counter()
        rate = self.optimizer.param_groups[-1]["lr"]
        losses = self._steps(epoch)
        seconds = time.perf_counter() - started
        record: dict[str, Any] = {
            "epoch": epoch + 1,
            "losses": {name: round(value, 4) for name, value in losses.items()},
            "learning_rate": rate,
            "pictures_per_second": round(len(self.data.images) / seconds, 2),
        }
        last = epoch + 1 == self.options.epochs
        if self.validation is not None and (last or (epoch + 1) % self.options.evaluate_every == 0):
            self._evaluate(epoch, record)
        elif self.validation is None:
            self.best_epoch = epoch + 1
            files.write_model(self.out / files.MODEL, self.average.state)
        self.log.append(record)
        self.epoch = epoch + 1
        files.write_last(self.out / files.LAST, self._state())
        files.write_log(self.out / files.LOG, self.log)
        self.say(_describe(record, self.options.epochs))

    def _steps(self, epoch: int) -> dict[str, float]:
        """One pass over the data; returns the mean losses."""
        self.training.train()
        loader = load_epoch(
            self.data,
            epoch=epoch,
            batch_size=self.options.batch_size,
            seed=self.options.seed,
            workers=self.options.workers,
            rule=ResizeRule(self.config.input.min_size, self.config.input.max_size),
            augmentation=self.options.augmentation,
            mask_size=self.config.blend.mask_size,
            pixel_mean=self.config.input.pixel_mean,
            pin_memory=self.device.type == "cuda",
        )
        sums: dict[str, Tensor] = {}
        bar = tqdm(
            loader,
            desc=f"epoch {epoch + 1}/{self.options.epochs}",
            unit="batch",
            leave=False,
            disable=None if self.progress else True,
        )
        for count, batch in enumerate(bar, start=1):
            losses = self._step(batch.to(self.device))
            for name, value in losses.items():
                sums[name] = sums[name] + value if name in sums else value.clone()
            if count % 20 == 0:
                total = float(sum(losses.values()))
                if not math.isfinite(total):
                    raise self._diverged(losses)
                bar.set_postfix(loss=f"{total:.3f}", refresh=False)
        means = {name: float(value) / len(loader) for name, value in sums.items()}
        if not all(map(math.isfinite, means.values())):
            raise self._diverged(means)
        return means

    def _step(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401 - the loader is typed by its examples
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            losses = self.training(batch.images, batch.truths)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(sum(losses.values())).backward()
        self.scaler.unscale_(self.optimizer)
        clip_gradients(self.training, self.options.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.average.update(training_state(self.training))
        return {name: value.detach() for name, value in losses.items()}

    def _diverged(self, losses: Mapping[str, Tensor | float]) -> TrainingError:
        shown = ", ".join(f"{name} {float(value):.3g}" for name, value in losses.items())
        return TrainingError(
            f"the losses are no longer finite ({shown}); train with a lower learning rate, or in float32."
            f" {self.out} holds the last whole epoch"
        )

    def _evaluate(self, epoch: int, record: dict[str, Any]) -> None:
        assert self.validation is not None
        network = self._averaged_network()
        segmenter = torch_segmenter(network, class_names=self.data.class_names, device=self.device)
        accuracy = measure_segmenter(segmenter, self.validation, progress=self.progress)
        record["box_ap"], record["mask_ap"] = round(accuracy.box.ap, 2), round(accuracy.mask.ap, 2)
        if accuracy.mask.ap > self.best or self.best_epoch == 0:
            self.best, self.best_epoch, self.accuracy = accuracy.mask.ap, epoch + 1, accuracy
            files.write_model(self.out / files.MODEL, self.average.state)

    def _averaged_network(self) -> BlendMask:
        network = build_network(self.config).to(self.device)
        own = network.state_dict()
        with torch.no_grad():
            for name, tensor in self.average.state.items():
                if name in own:
                    own[name].copy_(tensor)
        return network

    def _state(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "options": self._fingerprint(),
            "weights": training_state(self.training),
            "average": self.average.state,
            "average_steps": self.average.steps,
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch},
            "scaler": self.scaler.state_dict(),
            "best": self.best,
            "best_epoch": self.best_epoch,
            "log": self.log,
        }

    def restore(self) -> None:
        """Go on after the last whole epoch of the run in this folder."""
        state = files.read_last(self.out / files.LAST)
        mine, theirs = self._fingerprint(), state["options"]
        changed = [name for name in mine if theirs.get(name) != mine[name]]
        if changed:
            shown = ", ".join(f"{name} was {theirs.get(name)} and is {mine[name]}" for name in changed)
            raise CheckpointError(f"{self.out}: cannot be resumed with other settings: {shown}")
        load_training_state(self.training, state["weights"])
        self.average.state = {name: t.to(self.device) for name, t in state["average"].items()}
        self.average.steps = state["average_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.last_epoch = state["schedule"]["last_epoch"]
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.best, self.best_epoch = state["epoch"], state["best"], state["best_epoch"]
        self.log = list(state["log"])
        self.say(f"going on after epoch {self.epoch} of {self.options.epochs}")

    def _fingerprint(self) -> dict[str, str]:
        """What must not change between the parts of one run."""
        names = ("epochs", "batch_size", "optimizer", "seed")
        chosen = {name: str(getattr(self.options, name)) for name in names}
        chosen |= {"learning_rate": str(self.options.rate), "config": self.config.name}
        return chosen | {"pictures": str(len(self.data.images)), "classes": ", ".join(self.data.class_names)}

    def result(self) -> TrainingResult:
        """Return what the folder holds."""
        return TrainingResult(
            model=self.out / files.MODEL,
            config=self.out / files.CONFIG,
            class_names=self.out / files.CLASSES,
            accuracy=self.accuracy,
            epoch=self.best_epoch,
            log=tuple(self.log),
        )


def _check_data(data: CocoDataset, say: Report) -> None:
    for note in data.notes:
        say(note)
    objects = sum(not item.crowd for image in data.images for item in image.objects)
    if objects == 0:
        raise TrainingError(f"{data.source}: no object to learn from in {len(data.images)} pictures")


def _read_validation(validation: str | Path | CocoDataset | None, data: CocoDataset) -> CocoDataset | None:
    if isinstance(validation, str | Path):
        return read_coco(validation, class_names=data.class_names)
    return validation


def _with_classes(config: ModelConfig, count: int) -> ModelConfig:
    return dataclasses.replace(
        config,
        fcos=dataclasses.replace(config.fcos, num_classes=count),
        basis=dataclasses.replace(config.basis, num_semantic_classes=count),
    )


def _describe(record: Mapping[str, Any], epochs: int) -> str:
    parts = [f"epoch {record['epoch']}/{epochs}"]
    parts += [f"{name} {value:.3f}" for name, value in record["losses"].items()]
    if "mask_ap" in record:
        parts += [f"box AP {record['box_ap']:.1f}", f"mask AP {record['mask_ap']:.1f}"]
    return "  ".join([*parts, f"{record['pictures_per_second']:.1f} pictures/s"])


def _silent(line: str) -> None:
    del line
