"""Training from start to end: the epochs, what is kept of them, and resuming."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from edgeblend.arguments.callbacks import Say, callback
from edgeblend.arguments.checks import check_flag, check_path
from edgeblend.calibration.data.coco import CocoDataset
from edgeblend.calibration.evaluation.accuracy import Accuracy
from edgeblend.errors import TrainingError
from edgeblend.model.blendmask import build_network
from edgeblend.model.checkpoints.pretrained import load_imagenet, start_from
from edgeblend.model.losses.criterion import TrainingNetwork
from edgeblend.processes.third_party_warnings import warnings_are_no_errors
from edgeblend.training import files
from edgeblend.training.batches import Batches
from edgeblend.training.evaluation import accuracy_to_record, evaluate, record_to_accuracy
from edgeblend.training.interruption import Interruptible
from edgeblend.training.learner import Learner
from edgeblend.training.options import TrainingOptions
from edgeblend.training.progress import Progress, progress_errors, read_progress, write_progress
from edgeblend.training.task import Task, check_fingerprint, define_task, fingerprint

_ANNOUNCED = 3  # names that a message lists


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Where the model is, and how good; :func:`edgeblend.convert` takes it as it is."""

    model: Path
    config: Path
    class_names: Path
    """A file with one ``ID<TAB>NAME`` per line, which :func:`edgeblend.convert` reads."""
    accuracy: Accuracy | None
    """Of the model that was kept, on the validation set; None without one."""
    epoch: int
    """That it is from, counted from 1."""
    log: tuple[Mapping[str, Any], ...]
    """One record an epoch, as in ``log.jsonl``."""
    notes: tuple[str, ...]
    """What was dropped from the data, or assumed, one line each."""


@warnings_are_no_errors()
def train(
    dataset: str | Path | CocoDataset,
    out: str | Path,
    *,
    config: str | Path,
    validation: str | Path | CocoDataset | None = None,
    weights: str | Path | None = "imagenet",
    resume: bool = False,
    options: TrainingOptions | None = None,
    report: Say | None = None,
    progress: bool = False,
) -> TrainingResult:
    """Train a network on a COCO data set.

    After every epoch the folder holds a whole state: an interruption costs at most the epoch that it came in.
    A run that is resumed learns what it would have learnt without the interruption.

    Args:
        dataset: annotations in COCO's format, or a data set that was read before.
        out: a folder to make.
        config: a known name or a YAML file; its number of classes is replaced by the data set's.
        validation: annotations to evaluate on, with the same category names; None: nothing is evaluated, and
            the last epoch's model is kept instead of the best.
        weights: ``imagenet`` for the backbone's, None for random ones, or a checkpoint to fine-tune.
        resume: go on with the run that is in ``out``. Config, data and options must be the same, but for
            device, precision, workers and ``evaluate_every``; ``weights`` are not read again.
        options: how to train.
        report: called with one line at a time that is worth reading; what it raises ends the training.
        progress: show a bar on standard error.

    Raises:
        InputError: the data cannot be used, or an option is out of range.
        ConfigError: the config is unknown or not supported.
        CheckpointError: ``weights`` do not fit, or there is nothing to resume, or it differs.
        OutputError: ``out`` is not empty, or cannot be written.
        TrainingError: there is no object to learn from, or the losses are not finite.
    """
    folder, say = check_path("out", out), callback("report", report)
    check_flag("resume", resume)
    check_flag("progress", progress)
    if weights is not None:
        check_path("weights", weights)
    files.check_folder(folder, resume=resume)
    task = define_task(
        dataset,
        config=config,
        validation=validation,
        options=TrainingOptions() if options is None else options,
    )
    run = _Run(task, folder, say, progress)
    for data in [task.data, *([task.validation] if task.validation is not None else [])]:
        for note in data.notes:
            run.note(f"{data.source}: {note}")
    if resume:
        run.restore()
    else:
        run.begin(weights)
    for _ in range(run.epoch, task.options.epochs):
        run.train_epoch()
    return run.result()


class _Run:
    """One training run: what it has learnt so far, and its folder."""

    def __init__(self, task: Task, folder: Path, say: Say, progress: bool) -> None:
        self.task, self.folder, self.say, self.progress = task, folder, say, progress
        self.epoch = 0
        self.log: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.kept_epoch = 0
        self.accuracy: Accuracy | None = None
        self.fingerprint = fingerprint(task)
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers are the caller's
            torch.manual_seed(task.options.seed)
            self.training = TrainingNetwork(build_network(task.config))

    def note(self, line: str) -> None:
        """Say what the caller should know, and keep it for the result."""
        self.notes.append(line)
        self.say(line)

    def begin(self, weights: str | Path | None) -> None:
        """Start from these weights, in a new folder."""
        if weights == "imagenet":
            if not load_imagenet(self.training.network.backbone.bottom_up):
                self.note(
                    f"no ImageNet weights are known for the backbone of {self.task.config.name}: it starts"
                    " from random weights; give a checkpoint to fine-tune instead"
                )
        elif weights is not None:
            anew = start_from(self.training, Path(weights), say=self.say)
            if anew:
                shown = ", ".join(anew[:_ANNOUNCED])
                self.note(f"{len(anew)} parameters start anew, for another number of classes: {shown} ...")
        self.learner = self._learner()
        files.make_folder(self.folder)
        data = self.task.data
        files.write_config(self.folder / files.CONFIG, self.task.settings, len(data.class_names))
        files.write_classes(self.folder / files.CLASSES, data.class_names, data.category_ids)
        self._save()  # so that a run can be resumed from its first step on
        self.say(self.task.describe())

    def restore(self) -> None:
        """Go on after the last whole epoch of the run in the folder."""
        path = self.folder / files.LAST
        state = files.read_last(path)
        with progress_errors(path):
            progress = read_progress(state)
            check_fingerprint(progress.fingerprint, self.fingerprint, self.folder)
            self.learner = self._learner()
            self.learner.load(progress.learner)
            if progress.accuracy is not None:
                self.accuracy = record_to_accuracy(progress.accuracy)
        self.epoch, self.kept_epoch, self.log = progress.epoch, progress.kept_epoch, progress.log
        self.say(self.task.describe())
        self.say(f"going on after epoch {self.epoch} of {self.task.options.epochs}")

    def train_epoch(self) -> None:
        """Run one epoch, evaluate, and write everything."""
        rate, started = self.learner.rate, time.perf_counter()
        losses = self._learn()
        seconds = time.perf_counter() - started
        self.epoch += 1
        record: dict[str, Any] = {
            "epoch": self.epoch,
            "losses": {name: round(value, 4) for name, value in losses.items()},
            "learning_rate": rate,
            "pictures_per_second": round(len(self.task.data.images) / seconds, 2),
        }
        if self._evaluation_is_due():
            record |= self._evaluate()
        elif self.accuracy is None:
            self._keep()
        self.log.append(record)
        files.write_log(self.folder / files.LOG, self.log)
        self._save()  # last: what an interruption before it leaves is written again after resuming
        self.say(_describe(record, self.task.options.epochs))

    def result(self) -> TrainingResult:
        """Return what the folder holds."""
        return TrainingResult(
            model=self.folder / files.MODEL,
            config=self.folder / files.CONFIG,
            class_names=self.folder / files.CLASSES,
            accuracy=self.accuracy,
            epoch=self.kept_epoch,
            log=tuple(self.log),
            notes=tuple(self.notes),
        )

    def _learner(self) -> Learner:
        task = self.task
        self.training.to(task.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Learner(
            self.training, task.options, steps=task.steps_per_epoch * task.options.epochs, dtype=task.dtype
        )

    def _learn(self) -> dict[str, float]:
        """One pass over the data; returns the mean losses."""
        task = self.task
        batches = Batches(
            task.data.images,
            task.config,
            task.options,
            epoch=self.epoch,
            pin_memory=task.device.type == "cuda",
        )
        bar = tqdm(
            batches,
            desc=f"epoch {self.epoch + 1}/{task.options.epochs}",
            unit="batch",
            leave=False,
            disable=not self.progress,
        )
        try:
            with Interruptible() as interruptible:
                return self.learner.learn(interruptible.each(bar))
        except TrainingError as error:
            raise TrainingError(f"{error}; {self.folder} holds the state after epoch {self.epoch}") from error

    def _evaluation_is_due(self) -> bool:
        options = self.task.options
        last = self.epoch == options.epochs
        return self.task.validation is not None and (last or self.epoch % options.evaluate_every == 0)

    def _evaluate(self) -> dict[str, float]:
        """Measure the averaged weights, keep them if none were better, and return what to log."""
        task = self.task
        assert task.validation is not None
        accuracy = evaluate(
            task.config,
            self.learner.average.state,
            task.validation,
            class_names=task.data.class_names,
            device=task.device,
            progress=self.progress,
        )
        # Of equals the later: it has learnt for longer.
        if accuracy.mask.ap >= (-math.inf if self.accuracy is None else self.accuracy.mask.ap):
            self.accuracy = accuracy
            self._keep()
        return {"box_ap": round(accuracy.box.ap, 2), "mask_ap": round(accuracy.mask.ap, 2)}

    def _keep(self) -> None:
        self.kept_epoch = self.epoch
        files.write_model(self.folder / files.MODEL, self.learner.average.state)

    def _save(self) -> None:
        files.write_last(
            self.folder / files.LAST,
            write_progress(
                Progress(
                    fingerprint=self.fingerprint,
                    learner=self.learner.state(),
                    epoch=self.epoch,
                    kept_epoch=self.kept_epoch,
                    accuracy=None if self.accuracy is None else accuracy_to_record(self.accuracy),
                    log=self.log,
                )
            ),
        )


def _describe(record: Mapping[str, Any], epochs: int) -> str:
    parts = [f"epoch {record['epoch']}/{epochs}"]
    parts += [f"{name} {value:.3f}" for name, value in record["losses"].items()]
    if "mask_ap" in record:
        parts += [f"box AP {record['box_ap']:.1f}", f"mask AP {record['mask_ap']:.1f}"]
    return "  ".join([*parts, f"{record['pictures_per_second']:.1f} pictures/s"])
