"""Whatever an engine raises becomes one of our errors, and ours stay what they are."""

from __future__ import annotations

import pytest

from edgeblend.errors import BundleError, EngineError
from edgeblend.runtime.backends.base import engine_errors


@pytest.mark.parametrize(
    "error",
    [RuntimeError("a\nb"), ValueError(), UnicodeDecodeError("utf-8", b"\x80", 0, 1, "no"), MemoryError()],
)
def test_what_is_raised_becomes_an_engine_error_with_its_cause(error: Exception) -> None:
    with (
        pytest.raises(EngineError, match=f"^it failed: a {type(error).__name__}$") as caught,
        engine_errors("it failed", lambda raised: f"a {type(raised).__name__}"),
    ):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [EngineError("ours"), BundleError("ours"), KeyboardInterrupt()])
def test_errors_of_our_own_and_interruptions_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, engine_errors("it failed", str):
        raise error
    assert caught.value is error


def test_nothing_happens_where_nothing_is_raised() -> None:
    with engine_errors("it failed", str):
        pass
