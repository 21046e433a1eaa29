import numpy as np
import pytest
from safetensors.numpy import save_file

from edgeblend.errors import BundleError, InputError
from edgeblend.runtime.attention import AttentionLayer, gather_attention, load_attention, read_attention
from edgeblend.runtime.decode import Detections
from edgeblend.spec import BlendSpec

SPEC = BlendSpec(
    num_bases=2,
    attention_size=3,
    attention_interpolation="bilinear",
    mask_size=8,
    basis_stride=4,
)


def at(levels, cells):
    count = len(levels)
    return Detections(
        boxes=np.zeros((count, 4), np.float32),
        scores=np.zeros(count, np.float32),
        classes=np.zeros(count, np.int64),
        levels=np.array(levels, np.int64),
        cells=np.array(cells, np.int64).reshape(-1, 2),
    )


def random_layer(rng, channels):
    return AttentionLayer(
        rng.standard_normal((9 * channels, 18)).astype(np.float32), rng.standard_normal(18).astype(np.float32)
    )


def literal_convolution(feature, layer):
    """The layer at every location: (K * M * M, h, w)."""
    channels, height, width = feature.shape
    kernel = layer.weight.reshape(3, 3, channels, -1).astype(np.float64)
    out = np.tile(layer.bias.astype(np.float64)[:, None, None], (1, height, width))
    for y, x, ky, kx in np.ndindex(height, width, 3, 3):
        row, column = y + ky - 1, x + kx - 1
        if 0 <= row < height and 0 <= column < width:
            out[:, y, x] += feature[:, row, column] @ kernel[ky, kx]
    return out.astype(np.float32)


@pytest.mark.parametrize("channels_last", [False, True])
def test_gathering_equals_the_convolution(channels_last):
    rng = np.random.default_rng(0)
    features = [rng.standard_normal((5, *size)).astype(np.float32) for size in ((4, 6), (3, 2), (1, 1))]
    if channels_last:
        features = [np.ascontiguousarray(f.transpose(1, 2, 0)).transpose(2, 0, 1) for f in features]
    layer = random_layer(rng, 5)
    everywhere = [(level, cell) for level, f in enumerate(features) for cell in np.ndindex(f.shape[1:])]
    rng.shuffle(everywhere)
    detections = at(*zip(*everywhere, strict=True))
    expected = read_attention([literal_convolution(f, layer) for f in features], detections, SPEC)
    found = gather_attention(features, detections, layer, SPEC)
    assert found.shape == (31, 2, 3, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("count", [1, 31, 33, 70])
def test_many_patches_and_inputs_of_uneven_pieces(count):
    rng = np.random.default_rng(count)
    feature = rng.standard_normal((33, 9, 11)).astype(np.float32)  # 297 inputs: a piece of 256, and one of 41
    layer = random_layer(rng, 33)
    cells = np.stack([rng.integers(0, 9, count), rng.integers(0, 11, count)], axis=1)
    found = gather_attention([feature], at([0] * count, cells), layer, SPEC)
    everywhere = literal_convolution(feature, layer)
    expected = everywhere[:, cells[:, 0], cells[:, 1]].T.reshape(count, 2, 3, 3)
    np.testing.assert_allclose(found, expected, atol=5e-5)


def test_rows_of_the_weight_are_kernel_row_column_channel():
    feature = np.arange(2 * 9, dtype=np.float32).reshape(2, 3, 3)
    weight = np.zeros((18, 18), np.float32)
    weight[(0 * 3 + 2) * 2 + 1, 4] = 1  # the neighbour above to the right, channel 1, to output 4
    layer = AttentionLayer(weight, np.zeros(18, np.float32))
    found = gather_attention([feature], at([0], [(1, 1)]), layer, SPEC)
    assert found[0, 0, 1, 1] == feature[1, 0, 2] == 11
    assert np.count_nonzero(found) == 1


def test_reading_by_hand():
    maps = [np.arange(18 * 6, dtype=np.float32).reshape(18, 2, 3), np.zeros((18, 1, 1), np.float32)]
    found = read_attention(maps, at([1, 0], [(0, 0), (1, 2)]), SPEC)
    assert not found[0].any()
    # Channel c of cell (1, 2) is 6 c + 5; channels are ordered (K, M, M).
    np.testing.assert_array_equal(found[1], np.arange(18).reshape(2, 3, 3) * 6 + 5)


def test_no_detections():
    layer = random_layer(np.random.default_rng(0), 5)
    nobody = at([], [])
    assert gather_attention([np.zeros((5, 4, 4), np.float32)], nobody, layer, SPEC).shape == (0, 2, 3, 3)
    assert read_attention([np.zeros((18, 4, 4), np.float32)], nobody, SPEC).shape == (0, 2, 3, 3)


def test_a_layer_of_other_channels_is_refused():
    layer = random_layer(np.random.default_rng(0), 4)
    with pytest.raises(BundleError, match=r"expected attention weight \(45, 18\), got \(36, 18\)"):
        gather_attention([np.zeros((5, 4, 4), np.float32)], at([0], [(0, 0)]), layer, SPEC)


def test_a_layer_that_is_none_is_refused():
    with pytest.raises(InputError, match="expected float32 attention weight"):
        AttentionLayer(np.zeros((9, 18), np.float32), np.zeros(17, np.float32))


def test_loading(tmp_path):
    layer = random_layer(np.random.default_rng(0), 2)
    path = tmp_path / "attention.safetensors"
    save_file({"weight": layer.weight, "bias": layer.bias}, path)
    loaded = load_attention(path, SPEC)
    np.testing.assert_array_equal(loaded.weight, layer.weight)
    np.testing.assert_array_equal(loaded.bias, layer.bias)


def layer_of(rows, outputs, dtype=np.float32, value=0.0, **more):
    return {"weight": np.full((rows, outputs), value, dtype), "bias": np.zeros(outputs, dtype), **more}


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"not safetensors",
        b"\xff" * 16,
        b"\x00\x00\x00\x00\x00\x00\x00\x7f",
        {"weight": np.zeros((9, 18), np.float32)},
        layer_of(9, 17),
        layer_of(9, 18, more=np.zeros(1, np.float32)),
        layer_of(9, 36),
        layer_of(10, 18),
        layer_of(0, 18),
        layer_of(9, 18, dtype=np.float16),
        layer_of(9, 18, value=np.nan),
        layer_of(9, 18, value=np.inf),
        {"weight": np.zeros((9, 18, 1), np.float32), "bias": np.zeros(18, np.float32)},
    ],
)
def test_loading_something_else_is_an_error(tmp_path, content):
    path = tmp_path / "attention.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        save_file(content, path)
    with pytest.raises(BundleError, match="expected an attention layer") as caught:
        load_attention(path, SPEC)
    assert "\n" not in str(caught.value)


def test_a_type_that_numpy_does_not_have(tmp_path):
    header = b'{"weight":{"dtype":"BF16","shape":[9,18],"data_offsets":[0,324]},'
    header += b'"bias":{"dtype":"BF16","shape":[18],"data_offsets":[324,360]}}'
    path = tmp_path / "attention.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(360))
    with pytest.raises(BundleError, match="expected an attention layer"):
        load_attention(path, SPEC)


def test_maps_of_other_channels_are_refused():
    with pytest.raises(BundleError, match="expected attention of 18 channels, got 17"):
        read_attention([np.zeros((17, 4, 4), np.float32)], at([0], [(0, 0)]), SPEC)
