"""Instances as JSON: exact both ways, and strict when read."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import numpy as np
import pytest

from edgeblend.errors import InputError
from edgeblend.results import Instances

ARRAYS = ("boxes", "scores", "classes", "mask_probs", "mask_boxes")


def some(count: int = 3, **changes: Any) -> Instances:
    """Instances of random numbers, whose float32 have no short decimal form."""
    source = np.random.default_rng(0)
    arrays = {
        "boxes": source.random((count, 4), np.float32) * 100,
        "scores": source.random(count, np.float32),
        "classes": source.integers(0, 2, count),
        "class_names": ("Katze 猫", 'a "dog"'),
        "mask_probs": source.random((count, 5, 5), np.float32),
        "mask_boxes": source.random((count, 4), np.float32) * -1e-30,
        "frame_size": (48, 64),
        "timings_ms": {"decode": 0.1, "blend": 3.0},
        "category_ids": (-(2**63), 2**63 - 1),
    }
    return Instances(**(arrays | changes))


def changed(**changes: Any) -> str:
    """The document of two instances with other fields; None takes one away."""
    document = json.loads(some(2).to_json()) | changes
    return json.dumps({name: value for name, value in document.items() if value is not None})


def assert_same(one: Instances, other: Instances) -> None:
    for name in ARRAYS:
        first, second = getattr(one, name), getattr(other, name)
        assert (first.shape, first.dtype, first.tobytes()) == (second.shape, second.dtype, second.tobytes())
    for name in ("class_names", "category_ids", "frame_size"):
        assert getattr(one, name) == getattr(other, name)
    assert dict(one.timings_ms) == dict(other.timings_ms)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_every_bit_comes_back(count):
    instances = some(count)
    text = instances.to_json()
    assert_same(instances, Instances.from_json(text))
    assert_same(instances, Instances.from_json(text.encode()))
    assert Instances.from_json(text).to_json() == text
    assert "\n" not in text


def test_it_comes_back_from_any_writer_of_json():
    instances = some()
    assert_same(instances, Instances.from_json(json.dumps(json.loads(instances.to_json()), indent=2)))


def test_extreme_numbers_come_back():
    tiny = np.float32(1e-45)  # the smallest one that is not 0
    scores = np.array([-0.0, tiny, np.finfo(np.float32).max], np.float32)
    instances = some(scores=scores)
    assert np.signbit(Instances.from_json(instances.to_json()).scores[0])
    assert_same(instances, Instances.from_json(instances.to_json()))


def test_the_comparison_sees_one_bit():
    instances = some()
    scores = instances.scores.copy()
    scores.view(np.uint32)[0] ^= 1
    with pytest.raises(AssertionError):
        assert_same(instances, some(scores=scores))


def test_the_document_is_as_it_is_described():
    document = json.loads(some(2).to_json())
    assert list(document) == [
        *("format", "version", "frame_size", "class_names", "category_ids", "timings_ms"),
        *("boxes", "scores", "classes", "mask_boxes", "mask_size", "mask_probs"),
    ]
    assert (document["format"], document["version"], document["frame_size"]) == (
        "edgeblend.instances",
        1,
        [48, 64],
    )
    probs = np.frombuffer(base64.b64decode(document["mask_probs"], validate=True), "<f4").reshape(2, 5, 5)
    np.testing.assert_array_equal(probs, some(2).mask_probs)
    assert document["scores"] == some(2).scores.tolist()


@pytest.mark.parametrize("name", ["boxes", "scores", "mask_probs", "mask_boxes"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_not_written(name, value):
    array = getattr(some(), name).copy()
    array.flat[1] = value
    with pytest.raises(InputError, match=f"{name}: got numbers that are not finite"):
        some(**{name: array}).to_json()
    with pytest.raises(InputError, match="timings_ms: got numbers"):
        some(timings_ms={"decode": value}).to_json()


def not_finite() -> str:
    return base64.b64encode(np.full((2, 5, 5), np.nan, "<f4").tobytes()).decode()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "instances of version 2, and this edgeblend reads version 1"),
        ({"version": None}, "missing required field `version`"),
        ({"version": "1"}, "version"),
        ({"format": "coco"}, "format"),
        ({"extra": 1}, "unknown field `extra`"),
        ({"scores": None}, "missing required field `scores`"),
        ({"scores": [0.5]}, "mask_probs holds 200 bytes, and 1 masks of 5 x 5 float32 have 100"),
        ({"scores": [0.5, "1"]}, "scores"),
        ({"scores": [0.5, True]}, "scores"),
        ({"scores": [0.5, 1e39]}, "scores"),
        ({"boxes": [[0, 0, 1, 1]]}, "boxes"),
        ({"boxes": [[0, 0, 1, 1], [0, 0, 1]]}, "boxes"),
        ({"classes": [0, 2]}, "expected classes below 2"),
        ({"classes": [0, -1]}, "classes"),
        ({"classes": [0, 0.5]}, "classes"),
        ({"category_ids": [1]}, "1 category_ids for 2 class_names"),
        ({"category_ids": []}, "0 category_ids for 2 class_names"),
        ({"category_ids": [1, 2**63]}, "category_ids"),
        ({"frame_size": [0, 5]}, "frame_size"),
        ({"frame_size": [1 << 25, 5]}, "frame_size"),
        ({"mask_size": 6}, "mask_probs holds 200 bytes"),
        ({"mask_size": 1 << 40}, "mask_size"),
        ({"mask_probs": "AAA"}, "mask_probs"),
        ({"mask_probs": "A" * 265 + "-_="}, "mask_probs"),
        ({"mask_probs": not_finite()}, "mask_probs holds numbers that are not finite"),
        ({"timings_ms": {"decode": "1"}}, "timings_ms"),
    ],
)
def test_anything_else_is_refused(changes, message):
    assert len(Instances.from_json(changed())) == 2
    with pytest.raises(InputError, match=f"^(text: )?.*{message}"):
        Instances.from_json(changed(**changes))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", b"\xff", b"", "[" * 100_000, 5, None, ["{}"]])
def test_what_is_no_document_is_refused(text):
    with pytest.raises(InputError, match=r"^text: .*give what Instances.to_json returned"):
        Instances.from_json(text)


@pytest.mark.parametrize("seed", range(400))
def test_damaged_text_is_refused_or_read_as_instances(seed):
    """Bytes are cut, doubled or changed; nothing but our own error comes of it."""
    source = random.Random(seed)
    data = bytearray(some(2).to_json().encode())
    for _ in range(source.randint(1, 4)):
        start = source.randrange(len(data))
        length = source.choice((1, 1, 2, 20))
        piece = data[start : start + length]
        data[start : start + length] = source.choice(
            (b"", piece * 2, bytes(source.choices(b'0123456789-.eE[]{},:"nulA\xc3', k=length)))
        )
    try:
        read = Instances.from_json(bytes(data))
    except InputError as error:
        assert str(error)
    else:
        assert_same(read, Instances.from_json(read.to_json()))
