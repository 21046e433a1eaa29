import numpy as np
import pytest

from edgeblend.errors import InputError
from edgeblend.runtime.preprocess import network_size, preprocess
from edgeblend.runtime.resize import resize_antialiased
from edgeblend.spec import InputSpec

PAD = (104, 116, 124)


def dynamic(min_size=512, max_size=736):
    return InputSpec(height=None, width=None, min_size=min_size, max_size=max_size, pad_value=PAD)


def static(height, width):
    return InputSpec(height=height, width=width, min_size=512, max_size=736, pad_value=PAD)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("frame", "network"),
    [
        ((480, 640), (512, 683)),  # short side to 512; 640 * 512 / 480 = 682.67
        ((640, 480), (683, 512)),
        ((1080, 1920), (414, 736)),  # 1920 * 512 / 1080 passes 736
        ((512, 736), (512, 736)),
        ((512, 512), (512, 512)),
        ((1, 1), (512, 512)),
        ((1, 5000), (1, 736)),  # 1 * 736 / 5000 rounds to 0
        ((5000, 1), (736, 1)),
        ((3, 5), (442, 736)),  # 3 * 736 / 5 = 441.6
    ],
)
def test_dynamic_size_follows_the_published_rule(frame, network):
    assert network_size(frame, dynamic()) == network


def test_dynamic_sides_round_half_up():
    assert network_size((2, 3), dynamic(min_size=3, max_size=100)) == (3, 5)  # 4.5 to 5


@pytest.mark.parametrize(
    ("frame", "network"),
    [
        ((512, 736), (512, 736)),
        ((1024, 1472), (512, 736)),
        ((480, 640), (512, 683)),  # as high as the canvas
        ((1080, 1920), (414, 736)),  # as wide as the canvas
        ((1920, 1080), (512, 288)),  # portrait
        ((1, 1), (512, 512)),
        ((1, 5000), (1, 736)),
        ((5000, 1), (512, 1)),
    ],
)
def test_static_size_is_the_largest_that_fits(frame, network):
    assert network_size(frame, static(512, 736)) == network


def test_static_size_never_passes_the_canvas():
    for frame_side in range(1, 200):
        for canvas_side in (1, 7, 49, 93, 161):
            height, width = network_size((frame_side, 3 * frame_side + 1), static(canvas_side, canvas_side))
            assert 1 <= height <= canvas_side
            assert width == canvas_side


def test_portrait_frame_in_a_landscape_canvas():
    frame = noise(8, 4)
    prepared = preprocess(frame, static(4, 6))
    assert prepared.canvas.shape == (1, 4, 6, 3)
    assert prepared.canvas.flags.c_contiguous
    assert prepared.content == (4, 2)
    assert prepared.scale == (2.0, 2.0)
    assert np.array_equal(prepared.canvas[0, :, :2], resize_antialiased(frame, (4, 2)))
    assert (prepared.canvas[0, :, 2:] == PAD).all()


def test_landscape_frame_in_a_portrait_canvas():
    prepared = preprocess(noise(4, 8), static(6, 4))
    assert prepared.content == (2, 4)
    assert (prepared.canvas[0, 2:] == PAD).all()


def test_scales_take_the_rounding_of_each_side_into_account():
    prepared = preprocess(noise(480, 640), dynamic())
    assert prepared.canvas.shape == (1, 512, 683, 3)
    assert prepared.content == (512, 683)
    assert prepared.scale == (640 / 683, 480 / 512)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1)])
@pytest.mark.parametrize("spec", [static(64, 96), dynamic(64, 96)], ids=["static", "dynamic"])
def test_extreme_frames(shape, spec):
    frame = np.full((*shape, 3), 50, np.uint8)
    prepared = preprocess(frame, spec)
    height, width = prepared.content
    assert (prepared.canvas[0, :height, :width] == 50).all()
    assert prepared.scale == (shape[1] / width, shape[0] / height)


@pytest.mark.parametrize("spec", [static(64, 96), dynamic(64, 96)], ids=["static", "dynamic"])
def test_a_frame_that_fits_is_not_copied(spec):
    frame = noise(64, 96)
    prepared = preprocess(frame, spec)
    assert np.shares_memory(prepared.canvas, frame)
    assert np.array_equal(prepared.canvas[0], frame)
    assert prepared.scale == (1.0, 1.0)


def test_a_strided_frame_that_fits_becomes_contiguous():
    frame = noise(64, 96)[..., ::-1]
    prepared = preprocess(frame, static(64, 96))
    assert prepared.canvas.flags.c_contiguous
    assert np.array_equal(prepared.canvas[0], frame)


def test_a_letterboxed_canvas_is_owned():
    frame = noise(64, 48)
    prepared = preprocess(frame, static(64, 96))
    assert not np.shares_memory(prepared.canvas, frame)
    assert np.array_equal(prepared.canvas[0, :, :48], frame)


def test_grey_frames_are_served_and_floats_refused():
    assert preprocess(np.full((30, 40), 9, np.uint8), static(60, 80)).canvas[0, 59, 79].tolist() == [9, 9, 9]
    with pytest.raises(InputError, match="float32"):
        preprocess(noise(30, 40).astype(np.float32), static(60, 80))
