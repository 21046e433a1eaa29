"""Values that programs get wrong: limits of types, odd floats, and text that is not what it looks like."""

from __future__ import annotations

from random import Random
from typing import Any

INTEGERS = (
    *(0, 1, -1, 2, 3, 5, 7, 8, 16, 31, 33, 100, 127, 128, 255, 256, 1000, 4096, 32767, 65535, 65536),
    *((1 << 31) - 1, 1 << 31, -(1 << 31), 1 << 32, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, -(1 << 63)),
    *((1 << 64) - 1, 1 << 64, 10**20, 10**30),
)
FLOATS = (
    *(0.0, -0.0, 0.5, 1.0, 1.5, 2.0, -1.0, -1e-9, 1e-300, 5e-324, 1e39, 1e300, 1.7976931348623157e308),
    *(float("nan"), float("inf"), float("-inf"), 1e5, 16777217.0, 0.1),
)
TEXTS = (
    *("", " ", ".", "..", "a", "A" * 255, "A" * 256, "ab" * 2500, "\n", "a\nb", "a\r\nb", "\0", "a\0b", "\t"),
    *(
        "../x",
        "/etc/passwd",
        "/",
        "~",
        "~nobody/x",
        "C:\\x",
        "a/b",
        "a\\b",
        "file:///x",
        "http://127.0.0.1/x",
    ),
    *("é", "e\u0301", "\u202eabc", "\u2028", "\U0001f4a5", "\ud800", "\ufeff", "\x7f", "\x1b[31m"),
    *(
        "null",
        "nan",
        "None",
        "true",
        "1",
        "-1",
        "1e999",
        "{}",
        "%s%n",
        "{0.__class__}",
        "p3",
        "p9",
        "con",
        "*",
    ),
)


def value_like(value: object, random: Random) -> Any:  # noqa: ANN401 - any JSON value
    """Return another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        near = (value + 1, value - 1, -value, 2 * value, value // 2, 1000 * value, 10 * value)
        return random.choice(near) if random.random() < 0.5 else random.choice(INTEGERS)
    if isinstance(value, float):
        near_float = (-value, value * 2, value / 2, value + 1, value * 1e6, value * 1e-6)
        return random.choice(near_float) if random.random() < 0.4 else random.choice(FLOATS)
    if isinstance(value, str):
        return text_like(value, random)
    return any_value(random)


def text_like(value: str, random: Random) -> str:
    """Return a text that is near another, or none of its kind."""
    if random.random() < 0.5:
        return random.choice(TEXTS)
    place = random.randrange(len(value) + 1)
    return random.choice(
        (
            value[:place] + value[place + 1 :],
            value[:place] + random.choice(TEXTS)[:40] + value[place:],
            value.upper() if value != value.upper() else value.lower(),
            value + value,
            value[::-1],
            value + random.choice(" \n.\0/x_0"),
            random.choice(" \n./\0") + value,
        )
    )


def any_value(random: Random) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value of any JSON type."""
    kinds: tuple[Any, ...] = (
        None,
        random.random() < 0.5,
        random.choice(INTEGERS),
        random.choice(FLOATS),
        random.choice(TEXTS),
        [],
        {},
        [random.choice(INTEGERS)],
        [[]],
        {random.choice(TEXTS): random.choice(INTEGERS)},
    )
    return random.choice(kinds)
