"""How far a candidate's instances agree with the reference's over many frames, without labels.

Both report everything above the model's own low threshold, and a detection near it may come and go by
rounding. So only what one side is sure of is judged: a detection that scores at least the *judged score* and
that the other side does not report at any score is lost, or invented. One that merely changed its score is
matched.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from edgeblend.calibration.evaluation.agreement import pair_greedily
from edgeblend.errors import InputError
from edgeblend.masks.boxes import box_iou_batch
from edgeblend.masks.paste import paste_region
from edgeblend.results import Instances

JUDGED_SCORE = 0.4
"""Detections below it count only where the other side has the same object at this score or above. Where the
demo model's validation pictures have 1029 objects, 3886 of its detections score at least 0.3, 1485 at least
0.4 and 955 at least 0.5: far below, false ones would make most of the agreement."""
MATCHED_BOX_IOU = 0.5
"""Least IoU of the boxes of one object."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameAgreement:
    """What two sets of instances of one frame share. Numbers are indices into them."""

    pairs: NDArray[np.int64]
    """(P, 2) of reference and candidate: same class, boxes that overlap, one of the two judged."""
    mask_ious: NDArray[np.float64]
    """(P,) of their pasted masks, in frame pixels; 1 for two empty ones."""
    score_changes: NDArray[np.float64]
    """(P,) candidate less reference."""
    lost: NDArray[np.int64]
    """(L,) judged ones of the reference without a partner."""
    invented: NDArray[np.int64]
    """(I,) judged ones of the candidate without a partner."""
    flips: NDArray[np.int64]
    """(F, 2) of those two: boxes that overlap, and classes that differ."""

    @property
    def disagreement(self) -> float:
        """In objects: what the masks of pairs do not share, and half of each that has no partner."""
        return float((1 - self.mask_ious).sum()) + 0.5 * (len(self.lost) + len(self.invented))


@dataclass(frozen=True, slots=True)
class AgreementTotals:
    """Sums over frames, and the figures that come of them. Sums of parts add up: ``+``."""

    frames: int = 0
    matched: int = 0
    lost: int = 0
    """Number without a partner, class changes included."""
    invented: int = 0
    """Number without a partner, class changes included."""
    class_flips: int = 0
    mask_iou_sum: float = 0.0
    score_change_sum: float = 0.0
    score_distance_sum: float = 0.0
    """Sum of the absolute changes."""

    def __add__(self, other: AgreementTotals) -> AgreementTotals:
        return AgreementTotals(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def agreement(self) -> float:
        """100 where everything agrees, 0 where nothing does.

        100 * sum of mask IoU over matched pairs / (matched + lost / 2 + invented / 2): the form of panoptic
        quality (Kirillov et al., Panoptic Segmentation, CVPR 2019, equation 1), with the reference as truth.
        """
        objects = self.matched + 0.5 * self.lost + 0.5 * self.invented
        return 100 * self.mask_iou_sum / objects if objects else 100.0

    @property
    def mask_iou(self) -> float:
        """Mean over matched pairs; nan without any."""
        return self.mask_iou_sum / self.matched if self.matched else float("nan")

    @property
    def score_drift(self) -> float:
        """Mean of candidate's less reference's score over matched pairs; nan without any."""
        return self.score_change_sum / self.matched if self.matched else float("nan")

    @property
    def score_distance(self) -> float:
        """Mean size of that difference, whatever its sign; nan without any."""
        return self.score_distance_sum / self.matched if self.matched else float("nan")


def compare_instances(
    reference: Instances, candidate: Instances, *, judged_score: float = JUDGED_SCORE
) -> FrameAgreement:
    """Match two sets of instances of one frame.

    Those that both are sure of find each other first, by falling box IoU; then what only one is sure of takes
    what the other has left.

    Args:
        reference: N instances, down to the model's own threshold.
        candidate: M instances of the same frame and the same class names, down to it as well.
        judged_score: clearly above that threshold.

    Raises:
        InputError: boxes, scores or masks are not finite, and would agree with nothing or be no detections.
    """
    for instances in (reference, candidate):
        _check_finite(instances)
    iou = box_iou_batch(reference.boxes, candidate.boxes)
    near = iou >= MATCHED_BOX_IOU
    same = reference.classes[:, None] == candidate.classes[None, :]
    judged, other_judged = reference.scores >= judged_score, candidate.scores >= judged_score
    both = judged[:, None] & other_judged
    first = pair_greedily(iou, near & same & both)
    free = _free(first, len(judged), len(other_judged))
    second = pair_greedily(iou, near & same & (judged[:, None] ^ other_judged) & free)
    pairs = np.concatenate([first, second])
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    free = _free(pairs, len(judged), len(other_judged))
    scores = reference.scores.astype(np.float64), candidate.scores.astype(np.float64)
    return FrameAgreement(
        pairs=pairs,
        mask_ious=_mask_ious(reference, candidate, pairs),
        score_changes=scores[1][pairs[:, 1]] - scores[0][pairs[:, 0]],
        lost=np.setdiff1d(np.flatnonzero(judged), pairs[:, 0]),
        invented=np.setdiff1d(np.flatnonzero(other_judged), pairs[:, 1]),
        flips=pair_greedily(iou, near & ~same & both & free),
    )


def totals_of(frame: FrameAgreement) -> AgreementTotals:
    """Return one frame's counts and sums."""
    return AgreementTotals(
        frames=1,
        matched=len(frame.pairs),
        lost=len(frame.lost),
        invented=len(frame.invented),
        class_flips=len(frame.flips),
        mask_iou_sum=float(frame.mask_ious.sum()),
        score_change_sum=float(frame.score_changes.sum()),
        score_distance_sum=float(np.abs(frame.score_changes).sum()),
    )


def _check_finite(instances: Instances) -> None:
    for name in ("boxes", "scores", "mask_probs", "mask_boxes"):
        if not np.isfinite(getattr(instances, name)).all():
            raise InputError(f"expected finite {name} of instances, got nan or infinity")


def _free(pairs: NDArray[np.int64], rows: int, columns: int) -> NDArray[np.bool_]:
    """Return (rows, columns): whether neither is in a pair."""
    return ~np.isin(np.arange(rows), pairs[:, 0])[:, None] & ~np.isin(np.arange(columns), pairs[:, 1])


def _mask_ious(reference: Instances, candidate: Instances, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the IoU of each pair's masks on the frame: boxes differ, so cells cannot be compared."""
    ious = [
        region_iou(
            paste_region(reference.mask_probs[i], reference.mask_boxes[i], reference.frame_size),
            paste_region(candidate.mask_probs[j], candidate.mask_boxes[j], candidate.frame_size),
        )
        for i, j in pairs.tolist()
    ]
    return np.array(ious, np.float64)


def region_iou(
    first: tuple[int, int, NDArray[np.bool_]], second: tuple[int, int, NDArray[np.bool_]]
) -> float:
    """Return the IoU of two masks of one frame, as :func:`paste_region` returns them; 1 if both are empty."""
    (top, left, mask), (other_top, other_left, other) = first, second
    y0, x0 = max(top, other_top), max(left, other_left)
    y1 = min(top + mask.shape[0], other_top + other.shape[0])
    x1 = min(left + mask.shape[1], other_left + other.shape[1])
    shared = 0
    if y1 > y0 and x1 > x0:
        both = mask[y0 - top : y1 - top, x0 - left : x1 - left]
        both = both & other[y0 - other_top : y1 - other_top, x0 - other_left : x1 - other_left]
        shared = int(np.count_nonzero(both))
    union = int(np.count_nonzero(mask)) + int(np.count_nonzero(other)) - shared
    return shared / union if union else 1.0
