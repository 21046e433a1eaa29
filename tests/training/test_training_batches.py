"""Which pictures, in which order, and what a batch of them is."""

import pickle

import numpy as np
import pytest
import torch
from coloured_shapes import write_lite, write_shapes

from edgeblend.calibration.data.coco import read_coco
from edgeblend.errors import InputError
from edgeblend.model.config import load_config
from edgeblend.training.batches import Batches, Collate, Examples, Pick, Picks
from edgeblend.training.examples import ResizeRule, TrainingExample
from edgeblend.training.options import Augmentation, TrainingOptions


def picks(count=10, batch_size=4, scales=(0.5, 1.5), seed=0, epoch=0):
    return Picks(count, batch_size=batch_size, scales=scales, seed=seed, epoch=epoch)


def order(picked):
    return [pick.index for batch in picked for pick in batch]


def example(height, width, *, boxes=(), value=9):
    count = len(boxes)
    return TrainingExample(
        image=np.full((height, width, 3), value, np.uint8),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.arange(count),
        masks=np.ones((count, 4, 4), np.uint8),
        semantic=np.ones(((height + 3) // 8, (width + 3) // 8), np.int64),
    )


# Order


@pytest.mark.parametrize(("count", "size", "batches"), [(10, 4, 3), (8, 4, 2), (1, 4, 1), (5, 1, 5)])
def test_every_picture_once_an_epoch(count, size, batches):
    picked = picks(count, size)
    assert sorted(order(picked)) == list(range(count))
    assert len(picked) == len(list(picked)) == batches
    assert [len(batch) for batch in picked][:-1] == [size] * (batches - 1)


def test_the_order_follows_from_seed_and_epoch():
    assert list(picks(50)) == list(picks(50))
    assert order(picks(50)) != list(range(50))
    others = [order(picks(50, epoch=1)), order(picks(50, seed=1)), order(picks(50, epoch=2))]
    assert all(other != order(picks(50)) for other in others)
    assert order(picks(50, batch_size=7, scales=(1, 1))) == order(picks(50))


def test_pictures_of_a_batch_share_a_scale_and_batches_do_not():
    scales = [{pick.scale for pick in batch} for batch in picks(40)]
    assert all(len(scale) == 1 for scale in scales)
    every = set.union(*scales)
    assert len(every) == 10
    assert min(every) >= 0.5 and max(every) <= 1.5 and max(every) - min(every) > 0.5


def test_every_picture_of_every_epoch_is_changed_in_its_own_way():
    seeds = {pick.seed for epoch in range(3) for batch in picks(epoch=epoch) for pick in batch}
    assert len(seeds) == 30


# Canvases


@pytest.mark.parametrize(
    ("sizes", "canvas"),
    [([(64, 96)], (64, 96)), ([(65, 40), (20, 97)], (96, 128)), ([(1, 1)], (32, 32))],
)
def test_the_canvas_is_the_smallest_multiple_of_32_that_holds_all(sizes, canvas):
    batch = Collate((1, 2, 3))([example(*size) for size in sizes])
    assert batch.images.shape == (len(sizes), *canvas, 3) and batch.images.dtype == torch.uint8
    for image, (height, width) in zip(batch.images, sizes, strict=True):
        assert (image[:height, :width] == 9).all()
        assert (image[height:] == torch.tensor([1, 2, 3])).all()
        assert (image[:, width:] == torch.tensor([1, 2, 3])).all()


def test_the_semantic_map_is_background_beyond_the_picture():
    batch = Collate((0, 0, 0))([example(20, 40)])
    semantic = batch.truths[0].semantic
    assert semantic.shape == (4, 8)
    assert (semantic[:2, :5] == 1).all() and semantic.sum() == 10


def test_objects_come_along():
    boxes = [[1, 2, 3, 4], [5, 6, 17, 8]]
    first, second = Collate((0, 0, 0))([example(32, 32, boxes=boxes), example(32, 32)]).truths
    assert first.boxes.tolist() == boxes and first.classes.tolist() == [0, 1]
    assert first.masks.shape == (2, 4, 4)
    assert second.boxes.shape == (0, 4) and second.masks.shape == (0, 4, 4)


def test_the_fill_is_the_pixel_mean(shapes):
    dataset, config = shapes
    options = TrainingOptions(batch_size=1, workers=0, augmentation=Augmentation(scales=(0.6, 0.6)))
    (batch, *_) = Batches(dataset.images, config, options, epoch=0)
    assert batch.images.shape == (1, 64, 64, 3)
    assert (batch.images[0, 40:] == 127).all()  # 64 * 0.6 = 38.4
    assert not (batch.images[0, :36] == 127).all()


# Processes


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    return read_coco(write_shapes(folder, count=7)), load_config(write_lite(folder))


def batches_of(shapes, *, workers, epoch=0):
    dataset, config = shapes
    options = TrainingOptions(batch_size=3, workers=workers)
    return Batches(dataset.images, config, options, epoch=epoch)


def assert_equal(first, second):
    assert torch.equal(first.images, second.images)
    for one, other in zip(first.truths, second.truths, strict=True):
        for name in ("boxes", "classes", "masks", "semantic"):
            assert torch.equal(getattr(one, name), getattr(other, name))


def test_the_same_epoch_is_the_same_again(shapes):
    state = torch.get_rng_state()
    np.random.seed(1)  # noqa: NPY002 - what the data must not depend on
    first = list(batches_of(shapes, workers=0))
    torch.manual_seed(5)
    np.random.seed(2)  # noqa: NPY002
    again, other = list(batches_of(shapes, workers=0)), list(batches_of(shapes, workers=0, epoch=1))
    torch.set_rng_state(state)
    assert len(first) == len(batches_of(shapes, workers=0)) == 3
    for one, two in zip(first, again, strict=True):
        assert_equal(one, two)
    assert any(
        one.images.shape != two.images.shape or not torch.equal(one.images, two.images)
        for one, two in zip(first, other, strict=True)
    )


def test_other_processes_make_the_same_batches(shapes):
    alone, together = list(batches_of(shapes, workers=0)), list(batches_of(shapes, workers=2))
    for one, two in zip(alone, together, strict=True):
        assert_equal(one, two)


def test_a_process_that_is_started_anew_can_be_told_what_to_do(shapes):
    """Where processes are not forked, what they work on is pickled."""
    dataset, config = shapes
    examples = Examples(dataset.images, ResizeRule(64, 64), Augmentation(), config.blend.mask_size)
    pick = Pick(2, 1.0, (0, 0, 2))
    made, again = examples[pick], pickle.loads(pickle.dumps(examples))[pick]
    assert (made.image == again.image).all() and (made.masks == again.masks).all()
    pickle.dumps(Collate((1, 2, 3)))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_picture_is_named_in_one_line(tmp_path, shapes, workers):
    dataset = read_coco(write_shapes(tmp_path, count=3))
    dataset.images[1].path.write_bytes(b"no picture")
    with pytest.raises(InputError) as caught:
        list(batches_of((dataset, shapes[1]), workers=workers))
    assert "1.png" in str(caught.value)
    assert "Traceback" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_batch_goes_to_a_device():
    batch = Collate((0, 0, 0))([example(32, 32, boxes=[[0, 0, 9, 9]])]).to(torch.device("meta"))
    assert {t.device.type for t in (batch.images, batch.truths[0].boxes, batch.truths[0].masks)} == {"meta"}
