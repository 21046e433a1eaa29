"""Batches of training examples: which pictures, in which order, made by which processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from edgeblend.calibration.data.coco import CocoImage
from edgeblend.errors import EdgeBlendError
from edgeblend.model.blendmask import SIZE_DIVISOR
from edgeblend.model.config_files.schema import ModelConfig
from edgeblend.model.losses.targets import GroundTruth
from edgeblend.training.examples import SEMANTIC_STRIDE, ResizeRule, TrainingExample, make_example
from edgeblend.training.interruption import ASKING_TO_END
from edgeblend.training.options import Augmentation, TrainingOptions

_AHEAD = 4  # batches that each process may have waiting


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B pictures on canvases of one size."""

    images: Tensor
    """(B, H, W, 3) uint8 BGR; H and W are multiples of 32, filled with the mean pixel."""
    truths: tuple[GroundTruth, ...]

    def to(self, device: torch.device) -> Batch:
        """Return it on a device."""
        return Batch(self.images.to(device, non_blocking=True), tuple(t.to(device) for t in self.truths))

    def pin_memory(self) -> Batch:
        """Return it with the pictures in memory that a GPU copies from without waiting."""
        return Batch(self.images.pin_memory(), self.truths)


@dataclass(frozen=True, slots=True)
class Pick:
    """One picture of a batch, and what its changes depend on."""

    index: int
    scale: float
    seed: tuple[int, ...]


class Picks(Sampler[list[Pick]]):
    """The batches of one epoch: every picture once, in an order that depends on seed and epoch alone."""

    def __init__(
        self, count: int, *, batch_size: int, scales: tuple[float, float], seed: int, epoch: int
    ) -> None:
        self._count, self._batch_size = count, batch_size
        self._scales, self._seed, self._epoch = scales, seed, epoch

    def __len__(self) -> int:
        return -(-self._count // self._batch_size)

    def __iter__(self) -> Iterator[list[Pick]]:
        rng = np.random.default_rng([self._seed, self._epoch])
        order = rng.permutation(self._count)
        for start in range(0, self._count, self._batch_size):
            scale = float(rng.uniform(*self._scales))
            chosen = order[start : start + self._batch_size]
            yield [Pick(int(i), scale, (self._seed, self._epoch, int(i))) for i in chosen]


class Examples(Dataset["TrainingExample | EdgeBlendError"]):
    """Makes the example of a pick."""

    def __init__(
        self, images: Sequence[CocoImage], rule: ResizeRule, augmentation: Augmentation, mask_size: int
    ) -> None:
        self._images, self._rule = images, rule
        self._augmentation, self._mask_size = augmentation, mask_size

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, pick: Pick) -> TrainingExample | EdgeBlendError:
        """Return an example, the same for the same pick, or why there is none.

        An error that a process raises would reach the other with a traceback for its message.
        """
        try:
            return make_example(
                self._images[pick.index],
                rule=self._rule,
                scale=pick.scale,
                augmentation=self._augmentation,
                mask_size=self._mask_size,
                rng=np.random.default_rng(pick.seed),
            )
        except EdgeBlendError as error:
            return error


@dataclass(frozen=True, slots=True)
class Collate:
    """Puts examples on one canvas, each at its top left."""

    fill: tuple[int, ...]
    """BGR value of the pixels that the image does not cover."""

    def __call__(self, examples: Sequence[TrainingExample | EdgeBlendError]) -> Batch | EdgeBlendError:
        """Return the batch on the smallest canvas that holds all pictures, or the first error."""
        for example in examples:
            if isinstance(example, EdgeBlendError):
                return example
        return self._batch(cast(Sequence[TrainingExample], examples))

    def _batch(self, examples: Sequence[TrainingExample]) -> Batch:
        height, width = (
            -(-max(example.image.shape[axis] for example in examples) // SIZE_DIVISOR) * SIZE_DIVISOR
            for axis in (0, 1)
        )
        images = np.empty((len(examples), height, width, 3), np.uint8)
        images[:] = self.fill
        for canvas, example in zip(images, examples, strict=True):
            canvas[: example.image.shape[0], : example.image.shape[1]] = example.image
        cells = (height // SEMANTIC_STRIDE, width // SEMANTIC_STRIDE)
        return Batch(torch.from_numpy(images), tuple(_truth(example, cells) for example in examples))


class Batches:
    """The batches of one epoch, in order."""

    def __init__(
        self,
        images: Sequence[CocoImage],
        config: ModelConfig,
        options: TrainingOptions,
        *,
        epoch: int,
        pin_memory: bool = False,
    ) -> None:
        """Prepare to make them, ahead and by ``options.workers`` processes (0: by this one).

        Args:
            images: pictures with their objects.
            config: of the network that will see them.
            options: how many at a time, changed how far.
            epoch: from 0; with the seed it decides everything that is random.
            pin_memory: for copying to a GPU.
        """
        augmentation = options.augmentation
        rule = ResizeRule(config.input.min_size, config.input.max_size)
        self._loader: DataLoader[TrainingExample | EdgeBlendError] = DataLoader(
            Examples(images, rule, augmentation, config.blend.mask_size),
            batch_sampler=Picks(
                len(images),
                batch_size=options.batch_size,
                scales=augmentation.scales,
                seed=options.seed,
                epoch=epoch,
            ),
            num_workers=options.workers,
            collate_fn=Collate(tuple(round(value) for value in config.input.pixel_mean)),
            worker_init_fn=_prepare_process,
            pin_memory=pin_memory,
            prefetch_factor=_AHEAD if options.workers else None,
        )

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches.

        Raises:
            InputError: a picture is missing, broken, or of another size than its annotations say.
        """
        for batch in cast("Iterator[Batch | EdgeBlendError]", iter(self._loader)):
            if isinstance(batch, EdgeBlendError):
                raise batch
            yield batch


def _truth(example: TrainingExample, cells: tuple[int, int]) -> GroundTruth:
    semantic = np.zeros(cells, np.int64)
    semantic[: example.semantic.shape[0], : example.semantic.shape[1]] = example.semantic
    arrays = (example.boxes, example.classes, example.masks, semantic)
    return GroundTruth(*(torch.from_numpy(array) for array in arrays))


def _prepare_process(number: int) -> None:
    """Leave interruptions to the process that is told to stop, and threads to it, too.

    The processes are the parallelism; threads within them would only get in each other's way.
    """
    for number in set(ASKING_TO_END) - {signal.SIGTERM}:  # with which torch ends this process
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
