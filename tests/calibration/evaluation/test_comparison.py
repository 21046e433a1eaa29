import cv2
import msgspec
import numpy as np
import pytest

from edgeblend.calibration.data.coco import read_coco
from edgeblend.calibration.evaluation.comparison import (
    Contender,
    Failed,
    Measured,
    measure_side_by_side,
    noting_failure,
)
from edgeblend.errors import EngineError, InputError
from edgeblend.results import Instances

SQUARE = (8, 8, 40, 40)
ELSEWHERE = (50, 50, 60, 60)


@pytest.fixture
def dataset(tmp_path):
    """Twenty pictures with one square each; a picture's brightness is its number."""
    x0, y0, x1, y1 = SQUARE
    document = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "square"}]}
    for number in range(1, 21):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((64, 64, 3), number, np.uint8))
        document["images"].append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 64})
        document["annotations"].append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
            }
        )
    (tmp_path / "squares.json").write_bytes(msgspec.json.encode(document))
    return read_coco(tmp_path / "squares.json")


def one_square(box, score=0.9):
    return Instances(
        boxes=np.array([box], np.float32),
        scores=np.array([score], np.float32),
        classes=np.zeros(1, np.int64),
        class_names=("square",),
        mask_probs=np.ones((1, 32, 32), np.float32),
        mask_boxes=np.array([box], np.float32),
        frame_size=(64, 64),
        timings_ms={"detector": 1.0},
    )


def contender(name, answer=None, log=None):
    """One that answers ``answer(number of the picture)``, and logs which it saw."""

    def segment(picture):
        number = int(picture[0, 0, 0])
        if log is not None:
            log.append((name, number))
        return one_square(SQUARE) if answer is None else answer(number)

    return Contender(name, segment)


def test_one_that_finds_and_one_that_misses(dataset):
    good, bad = measure_side_by_side(
        [contender("good"), contender("bad", lambda number: one_square(ELSEWHERE))],
        dataset.images,
        labels=dataset,
        boundary=True,
    )
    assert (good.name, bad.name) == ("good", "bad")
    assert (good.accuracy.box.ap, good.accuracy.mask.ap) == pytest.approx((100, 100))
    assert good.accuracy.boundary.ap == pytest.approx(100)
    assert (bad.accuracy.box.ap, bad.accuracy.mask.ap, bad.accuracy.boundary.ap) == (0, 0, 0)
    assert good.accuracy.num_images == good.accuracy.num_objects == 20
    assert good.agreement is None
    assert (bad.agreement.lost, bad.agreement.invented, bad.agreement.agreement) == (20, 20, 0)


def test_without_labels_there_is_agreement_alone(dataset):
    first, same = measure_side_by_side([contender("first"), contender("same")], dataset.images)
    assert first.accuracy is same.accuracy is None
    assert (same.agreement.frames, same.agreement.matched, same.agreement.agreement) == (20, 20, 100)
    assert same.disagreements == ()


def test_contenders_take_turns_and_begin_by_turns(dataset):
    log = []
    measure_side_by_side([contender("a", log=log), contender("b", log=log)], dataset.images)
    first, second, third = range(1, 9), range(9, 17), range(17, 21)
    order = [("a", first), ("b", first), ("b", second), ("a", second), ("a", third), ("b", third)]
    assert log == [(name, number) for name, numbers in order for number in numbers]


def test_the_first_of_each_turn_is_not_timed(dataset):
    (measured,) = measure_side_by_side([contender("a")], dataset.images)
    assert measured.speed.frames == 20 - 3
    assert measured.speed.graphs_ms == 1.0


def test_the_pictures_that_differ_most_are_kept_the_worst_first(dataset):
    # Picture 7 is lost and invented, 12 is a little off, 3 a little more; all others agree.
    answers = {7: ELSEWHERE, 12: (8, 8, 40, 39), 3: (8, 8, 40, 36)}

    def answer(number):
        return one_square(answers.get(number, SQUARE))

    _, kept = measure_side_by_side([contender("a"), contender("b", answer)], dataset.images, keep=2)
    assert [item.image.id for item in kept.disagreements] == [7, 3]
    worst = kept.disagreements[0]
    assert worst.reference.boxes.tolist() == [list(SQUARE)]
    assert worst.candidate.boxes.tolist() == [list(ELSEWHERE)]
    assert (worst.frame.lost.tolist(), worst.frame.invented.tolist()) == ([0], [0])
    _, every = measure_side_by_side([contender("a"), contender("b", answer)], dataset.images, keep=9)
    assert [item.image.id for item in every.disagreements] == [7, 3, 12]


def failing_at(number, error):
    def answer(seen):
        if seen == number:
            raise error
        return one_square(SQUARE)

    return answer


def test_one_that_fails_does_not_end_the_others(dataset):
    first, broken, other = measure_side_by_side(
        [
            contender("first"),
            contender("broken", failing_at(12, EngineError("the engine\nstopped"))),
            contender("other"),
        ],
        dataset.images,
        labels=dataset,
    )
    assert broken == Failed("broken", "the engine stopped")
    assert isinstance(first, Measured)
    assert other.agreement.frames == 20
    assert other.accuracy.mask.ap == pytest.approx(100)


def test_what_is_not_finite_has_failed(dataset):
    def answer(number):
        return one_square((np.nan, 8, 40, 40))

    for labels in (dataset, None):
        _, broken = measure_side_by_side(
            [contender("a"), contender("b", answer)], dataset.images, labels=labels
        )
        assert isinstance(broken, Failed)
        assert "finite" in broken.reason


def test_a_reference_that_fails_is_an_error(dataset):
    broken = contender("broken", failing_at(12, EngineError("stopped")))
    with pytest.raises(EngineError, match="stopped"):
        measure_side_by_side([broken, contender("other")], dataset.images)


def test_a_picture_that_vanished_is_an_error(dataset):
    dataset.images[9].path.unlink()
    with pytest.raises(InputError, match=r"10\.png: no such file"):
        measure_side_by_side([contender("a"), contender("b")], dataset.images)


def test_noting_failures():
    failures = {}
    with noting_failure(failures, "ours"):
        raise InputError("one\n  line")
    with noting_failure(failures, "theirs"):
        raise ZeroDivisionError("by zero")
    with noting_failure(failures, "silent"):
        raise InputError
    with noting_failure(failures, "well"):
        pass
    assert failures == {
        "ours": "one line",
        "theirs": "ZeroDivisionError: by zero",
        "silent": "InputError: ",
    }
    with pytest.raises(KeyboardInterrupt), noting_failure(failures, "stopped"):
        raise KeyboardInterrupt
    with pytest.raises(InputError), noting_failure(failures, "fatal", fatal=True):
        raise InputError("fatal")


def test_contenders_of_one_name_are_refused() -> None:
    contenders = [Contender("int8", lambda picture: picture), Contender("int8", lambda picture: picture)]
    with pytest.raises(ValueError, match="names of their own, got int8, int8"):
        measure_side_by_side(contenders, [])
