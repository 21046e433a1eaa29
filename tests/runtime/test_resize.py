import cv2
import numpy as np
import pytest
from PIL import Image

from edgeblend.errors import InputError
from edgeblend.runtime.resize import resize_antialiased


def grey(rows):
    return np.repeat(np.array(rows, np.uint8)[..., None], 3, axis=2)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pillow(image, size):
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def pillow_x_then_y(image, size):
    """Pillow in two calls, because since version 13 one call may take the passes in the other order."""
    return pillow(pillow(image, (image.shape[0], size[1])), size)


def test_halving_weighs_four_pixels_by_their_distance():
    # Weights 1 3 3 1, cut and normalised at the border: (0*3 + 40*3 + 80) / 7 and (40 + 80*3 + 120*3) / 7.
    resized = resize_antialiased(grey([[0, 40, 80, 120]]), (1, 2))
    assert resized[0, :, 0].tolist() == [29, 91]
    assert np.array_equal(resize_antialiased(grey([[0], [40], [80], [120]]), (2, 1))[:, 0, 0], [29, 91])


def test_doubling_interpolates_between_pixel_centres():
    assert resize_antialiased(grey([[0, 80]]), (1, 4))[0, :, 0].tolist() == [0, 20, 60, 80]


def test_ties_round_up():
    assert resize_antialiased(grey([[0, 1]]), (1, 1))[0, 0, 0] == 1


def test_channels_stay_apart():
    image = np.zeros((6, 6, 3), np.uint8)
    image[..., 1] = 200
    assert (resize_antialiased(image, (3, 4)) == [0, 200, 0]).all()


def test_same_size_is_the_picture_itself():
    image = noise(5, 7)
    assert resize_antialiased(image, (5, 7)) is image


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1080, 1920), (414, 736)),
        ((600, 700), (300, 400)),  # 7:4, where float32 sums misround one value in a hundred
        ((960, 960), (160, 160)),  # 6:1, likewise
        ((48, 64), (96, 128)),
        ((40, 300), (90, 100)),
        ((300, 40), (100, 90)),
        ((1, 500), (1, 73)),
        ((500, 1), (73, 1)),
        ((1, 1), (9, 4)),
        ((33, 65), (1, 1)),
        ((1100, 30), (300, 8)),  # more rows than one strip holds
    ],
)
def test_equals_pillow(before, after):
    image = noise(*before)
    assert np.array_equal(resize_antialiased(image, after), pillow_x_then_y(image, after))


def test_equals_pillow_on_random_sizes():
    rng = np.random.default_rng(7)
    for seed in range(60):
        height, width, new_height, new_width = (int(side) for side in rng.integers(1, 200, 4))
        image = noise(height, width, seed)
        resized = resize_antialiased(image, (new_height, new_width))
        assert np.array_equal(resized, pillow_x_then_y(image, (new_height, new_width)))
        one_call = pillow(image, (new_height, new_width)).astype(int)
        assert np.abs(resized - one_call).max() <= 1


def test_the_parity_check_sees_plain_bilinear():
    image = noise(120, 160)
    plain = cv2.resize(image, (40, 30), interpolation=cv2.INTER_LINEAR)
    assert np.abs(plain.astype(int) - pillow_x_then_y(image, (30, 40))).max() > 20


@pytest.mark.parametrize(
    "view",
    [lambda a: a[..., ::-1], lambda a: a[::-1], lambda a: a[:, ::2], lambda a: a.transpose(1, 0, 2)],
    ids=["rgb", "flipped", "strided", "transposed"],
)
def test_any_memory_layout(view):
    strided = view(noise(50, 70))
    packed = np.ascontiguousarray(strided)
    assert np.array_equal(resize_antialiased(strided, (20, 30)), resize_antialiased(packed, (20, 30)))


def test_empty_size_is_refused():
    with pytest.raises(InputError, match=r"at least 1x1 pixel, got 0x4"):
        resize_antialiased(noise(4, 4), (4, 0))
