"""All instances of one frame, as a handful of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, get_args, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgeblend import classes
from edgeblend.arguments.checks import (
    MOST,
    check_ids,
    check_kind,
    check_number,
    check_probability,
    check_size,
    check_whole,
)
from edgeblend.arguments.choices import check_choice
from edgeblend.errors import InputError, MissingPackageError
from edgeblend.masks import paste, polygons, rle
from edgeblend.results.instance import Instance

if TYPE_CHECKING:
    import supervision

    from edgeblend.runtime.images import ChannelOrder, Image

Indices = slice | Sequence[int] | Sequence[bool] | NDArray[np.bool_] | NDArray[np.integer[Any]]

SegmentationFormat = Literal["rle", "polygons"]

LARGEST_FRAME = 1 << 24
"""Largest side in pixels of the size that results are reported at."""
LARGEST_MASK = 1 << 14
"""Largest side of a mask's grid."""

_SHOWN = 3  # instances that a repr names


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """The N instances of one frame, by descending score.

    All coordinates are frame pixels. Arrays are read-only views of what was handed in. Masks stay small until
    they are asked for: ``masks``, ``rle`` and ``polygons`` each compute theirs anew.

    Iterating gives each as an :class:`Instance`, and so does ``instances[3]``. A slice, a list of indices or
    a boolean array gives ``Instances`` again.
    """

    boxes: NDArray[np.float32]
    """(N, 4) xyxy, clipped to the frame."""
    scores: NDArray[np.float32]
    """(N,)."""
    classes: NDArray[np.int64]
    """(N,), indices into ``class_names``."""
    class_names: tuple[str, ...]
    """Names of all classes that the model knows, by class index."""
    mask_probs: NDArray[np.float32]
    """(N, R, R) probabilities over ``mask_boxes``."""
    mask_boxes: NDArray[np.float32]
    """(N, 4) xyxy that masks are pasted into: the clipped boxes, or the predicted ones."""
    frame_size: tuple[int, int]
    """(height, width)."""
    timings_ms: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Milliseconds per stage of the frame that these instances come from."""
    category_ids: tuple[int, ...] = ()
    """Category id of each of ``class_names``; empty takes COCO's own for its 80 names, else index + 1."""

    def __post_init__(self) -> None:
        for name in ("boxes", "scores", "classes", "mask_probs", "mask_boxes"):
            check_kind(name, getattr(self, name), np.ndarray, "a NumPy array")
        check_kind("class_names", self.class_names, tuple, "a tuple of names")
        check_kind("category_ids", self.category_ids, tuple, "a tuple of whole numbers, one per class")
        check_kind("timings_ms", self.timings_ms, Mapping, "milliseconds by stage")
        check_size("frame_size", self.frame_size, 1, LARGEST_FRAME)
        count = len(self.scores)
        size = self.mask_probs.shape[-1] if self.mask_probs.ndim else 0
        self._freeze("boxes", np.float32, (count, 4))
        self._freeze("scores", np.float32, (count,))
        self._freeze("classes", np.int64, (count,))
        self._freeze("mask_probs", np.float32, (count, size, size))
        self._freeze("mask_boxes", np.float32, (count, 4))
        if not self.category_ids:
            object.__setattr__(self, "category_ids", classes.default_category_ids(self.class_names))
        elif len(self.category_ids) != len(self.class_names):
            raise InputError(_wrong_count(self.class_names, self.category_ids))
        if count and not (self.classes.min() >= 0 and self.classes.max() < len(self.class_names)):
            raise InputError(
                f"expected classes below {len(self.class_names)}, the number of class names, "
                f"got {self.classes.min()} to {self.classes.max()}"
            )

    def _freeze(self, name: str, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
        array = getattr(self, name)
        if array.shape != shape or array.dtype != dtype:
            raise InputError(
                f"expected {name} of shape {shape} and {np.dtype(dtype)}, got {array.shape} {array.dtype}"
            )
        view = array.view()
        view.flags.writeable = False
        object.__setattr__(self, name, view)

    @classmethod
    def empty(
        cls,
        frame_size: tuple[int, int],
        class_names: tuple[str, ...],
        mask_size: int,
        *,
        category_ids: tuple[int, ...] = (),
    ) -> Instances:
        """Return no instances of a frame (height, width)."""
        check_whole("mask_size", mask_size, 1, LARGEST_MASK)
        return cls(
            boxes=np.empty((0, 4), np.float32),
            scores=np.empty(0, np.float32),
            classes=np.empty(0, np.int64),
            class_names=class_names,
            mask_probs=np.empty((0, mask_size, mask_size), np.float32),
            mask_boxes=np.empty((0, 4), np.float32),
            frame_size=check_size("frame_size", frame_size, 1, LARGEST_FRAME),
            category_ids=category_ids,
        )

    def __len__(self) -> int:
        return len(self.scores)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> Instance: ...

    @overload
    def __getitem__(self, index: Indices) -> Instances: ...

    def __getitem__(self, index: int | np.integer[Any] | Indices) -> Instance | Instances:
        """Return the instance at an index; or those of a slice, several indices, or where a mask is true.

        Example:
            >>> sure = instances[instances.scores > 0.5]
            >>> bool((sure.scores > 0.5).all()), len(instances[:2])
            (True, 2)
        """
        if isinstance(index, SupportsIndex) and not isinstance(index, np.ndarray):
            return self._one(range(len(self))[index])  # raises IndexError, understands negative ones
        chosen = index if isinstance(index, slice) else np.asarray(index)
        if isinstance(chosen, np.ndarray) and not chosen.size and chosen.dtype != bool:
            chosen = chosen.astype(np.int64)  # an empty list arrives as float64
        return Instances(
            boxes=self.boxes[chosen],
            scores=self.scores[chosen],
            classes=self.classes[chosen],
            class_names=self.class_names,
            mask_probs=self.mask_probs[chosen],
            mask_boxes=self.mask_boxes[chosen],
            frame_size=self.frame_size,
            timings_ms=self.timings_ms,
            category_ids=self.category_ids,
        )

    def __iter__(self) -> Iterator[Instance]:
        """Iterate over each :class:`Instance`."""
        return (self._one(position) for position in range(len(self)))

    def _one(self, position: int) -> Instance:
        label = int(self.classes[position])
        x0, y0, x1, y1 = self.boxes[position].tolist()
        return Instance(
            name=self.class_names[label],
            class_id=label,
            category_id=self.category_ids[label],
            score=float(self.scores[position]),
            box=(x0, y0, x1, y1),
            mask_probs=self.mask_probs[position],
            mask_box=self.mask_boxes[position],
            frame_size=self.frame_size,
        )

    def __repr__(self) -> str:
        height, width = self.frame_size
        noun = "instance" if len(self) == 1 else "instances"
        shown = [f"{name} {score:.2f}" for name, score in zip(self.names[:_SHOWN], self.scores, strict=False)]
        listed = ", ".join(shown + ["..."] * (len(self) > _SHOWN))
        return f"{len(self)} {noun} in {height}x{width}" + (f": {listed}" if shown else "")

    @property
    def names(self) -> list[str]:
        """The class name of each instance."""
        return [self.class_names[i] for i in self.classes.tolist()]

    def masks(self, threshold: float = 0.5) -> NDArray[np.bool_]:
        """Return masks on the whole frame, (N, H, W) bool: pixels whose probability reaches the threshold.

        Example:
            >>> masks = instances.masks()
            >>> masks.shape == (len(instances), *instances.frame_size), masks.dtype
            (True, dtype('bool'))
        """
        check_probability("threshold", threshold)
        return paste.paste_masks(self.mask_probs, self.mask_boxes, self.frame_size, threshold=threshold)

    def rle(self, threshold: float = 0.5) -> list[rle.Rle]:
        """Return masks in COCO's run-length encoding; costs memory for one region at a time.

        Example:
            >>> instances.rle()[0]["size"]  # height, width
            [64, 96]
        """
        return rle.encode_regions(self._regions(threshold), self.frame_size)

    def polygons(self, threshold: float = 0.5, *, tolerance: float = 0.0) -> list[list[polygons.Polygon]]:
        """Return each mask's outlines along pixel edges; see ``mask_to_polygons``.

        Example:
            >>> outlines = instances.polygons()[0]
            >>> outlines[0].exterior.shape[1]  # (corners, x and y)
            2
        """
        check_number("tolerance", tolerance, lowest=0)
        return [
            polygons.mask_to_polygons(mask, top, left, tolerance=tolerance)
            for top, left, mask in self._regions(threshold)
        ]

    def areas(self, threshold: float = 0.5) -> NDArray[np.int64]:
        """Return the number of pixels of each mask, (N,) int64."""
        counts = [np.count_nonzero(mask) for _, _, mask in self._regions(threshold)]
        return np.array(counts, np.int64)

    def _regions(self, threshold: float) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
        check_probability("threshold", threshold)
        for probs, box in zip(self.mask_probs, self.mask_boxes, strict=True):
            yield paste.paste_region(probs, box, self.frame_size, threshold=threshold)

    def draw(
        self, frame: Image, *, color: ChannelOrder = "bgr", colours: Sequence[int] | None = None
    ) -> NDArray[np.uint8]:
        """Return a copy of the frame with masks, boxes and labels; see ``edgeblend.draw``.

        Args:
            frame: what the segmenter was given: a path, an array (H, W, 3) or a PIL image.
            color: channel order of an array that is given, and of the (H, W, 3) uint8 array that is returned.
            colours: number of each instance's colour, for objects that keep theirs through a video; the
                default is 0, 1, 2, ...

        Raises:
            InputError: the frame is no image, or has another size than ``frame_size``.
        """
        from edgeblend.draw.overlay import draw

        return draw(frame, self, color=color, colours=colours)

    def to_coco(
        self,
        image_id: int,
        *,
        category_ids: Sequence[int] | None = None,
        segmentation: SegmentationFormat = "rle",
        threshold: float = 0.5,
    ) -> list[dict[str, Any]]:
        """Return COCO result records with the area of each mask, ready for ``json.dump``.

        Args:
            image_id: written into each record.
            category_ids: write these instead of ``self.category_ids``, one per class.
            segmentation: how masks are written. COCO's polygons cannot carry holes and cannot be empty, so a
                mask with a hole or without a pixel is written as RLE even when polygons are asked for.
            threshold: pixels at or above it belong to the mask.

        Raises:
            InputError: an option's value is not valid, such as ``category_ids`` that are not one per class.

        Example:
            >>> records = instances.to_coco(image_id=7)
            >>> len(records) == len(instances), records[0]["image_id"], sorted(records[0])
            (True, 7, ['area', 'bbox', 'category_id', 'image_id', 'score', 'segmentation'])
        """
        check_choice("segmentation", segmentation, get_args(SegmentationFormat))
        number = check_whole("image_id", image_id, -MOST - 1, MOST)
        ids = self.category_ids if category_ids is None else self._checked_ids(category_ids)
        records = []
        for box, score, label, (top, left, mask) in zip(
            self.boxes.tolist(),
            self.scores.tolist(),
            self.classes.tolist(),
            self._regions(threshold),
            strict=True,
        ):
            outlines = polygons.mask_to_polygons(mask, top, left) if segmentation == "polygons" else []
            flat = _flat_polygons(outlines) or rle.encode_region(mask, top, left, self.frame_size)
            x0, y0, x1, y1 = box
            records.append(
                {
                    "image_id": number,
                    "category_id": ids[label],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": score,
                    "area": int(np.count_nonzero(mask)),
                    "segmentation": flat,
                }
            )
        return records

    def _checked_ids(self, given: Sequence[int]) -> tuple[int, ...]:
        ids = check_ids("category_ids", given)
        if len(ids) != len(self.class_names):
            raise InputError(_wrong_count(self.class_names, ids))
        return ids

    def to_json(self) -> str:
        """Return everything as JSON in one line; ``edgeblend.results.json_format`` describes the format.

        :meth:`from_json` gives the same instances back, every number to the last bit. A mask of 56 x 56 takes
        17 kB.

        Raises:
            InputError: a number is not finite.
        """
        from edgeblend.results import json_format

        return json_format.to_json(self)

    @staticmethod
    def from_json(text: str | bytes) -> Instances:
        """Return the instances that :meth:`to_json` wrote.

        Raises:
            InputError: the text is not what ``to_json`` writes, or belongs to another version of the format.
        """
        from edgeblend.results import json_format

        return json_format.from_json(text)

    def to_supervision(self, threshold: float = 0.5) -> supervision.Detections:
        """Return these instances as ``supervision.Detections`` with masks and class names.

        Raises:
            InputError: the threshold is no probability.
            MissingPackageError: the supervision package is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise MissingPackageError.for_task(
                "to_supervision", "supervision", extra="supervision"
            ) from error
        return supervision.Detections(
            xyxy=self.boxes.copy(),
            mask=self.masks(threshold),
            confidence=self.scores.copy(),
            class_id=self.classes.copy(),
            data={"class_name": np.array(self.names, dtype=str)},
        )


def _wrong_count(class_names: Sequence[str], category_ids: Sequence[int]) -> str:
    return f"category_ids: expected {len(class_names)} category ids, one per class, got {len(category_ids)}"


def _flat_polygons(outlines: list[polygons.Polygon]) -> list[list[float]]:
    """COCO's flat rings x0, y0, x1, y1, ...; none where one has a hole."""
    if any(outline.holes for outline in outlines):
        return []
    return [outline.exterior.ravel().tolist() for outline in outlines]
