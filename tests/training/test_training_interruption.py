"""Interruptions that were dropped come again."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

import pytest

from edgeblend.training.interruption import ASKING_TO_END, Interruptible

pytestmark = pytest.mark.skipif(os.name == "nt", reason="interrupts the process as POSIX does")


def drop_an_interruption() -> None:
    """As a finalizer would: Python prints 'Exception ignored' and goes on."""
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def raising():
    """Ctrl-C raises, also where the suite runs as a shell's background job."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_without_it_a_dropped_interruption_is_lost() -> None:
    drop_an_interruption()


def test_a_dropped_interruption_comes_before_the_next_item() -> None:
    seen = []
    with pytest.raises(KeyboardInterrupt), Interruptible() as interruptible:
        for item in interruptible.each([1, 2, 3]):
            seen.append(item)
            drop_an_interruption()
    assert seen == [1]


def test_a_dropped_interruption_comes_at_the_end_at_the_latest() -> None:
    with pytest.raises(KeyboardInterrupt), Interruptible():
        drop_an_interruption()


def test_another_error_is_not_replaced() -> None:
    with pytest.raises(ValueError), Interruptible():
        drop_an_interruption()
        raise ValueError


def test_an_interruption_is_raised_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), Interruptible() as interruptible:
        for _ in interruptible.each([1]):
            signal.raise_signal(signal.SIGINT)
            pytest.fail("went on")


def test_items_come_in_order_and_the_handler_is_given_back() -> None:
    with Interruptible() as interruptible:
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert list(interruptible.each("abc")) == ["a", "b", "c"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_somebody_elses_stays() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interruptible():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_thread_changes_nothing() -> None:
    found = []

    def enter() -> None:
        with Interruptible():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


class Asked(KeyboardInterrupt):
    """As a program of its own may raise for any signal."""


@pytest.mark.parametrize("number", ASKING_TO_END)
def test_every_signal_that_somebody_raises_for_comes_again(number) -> None:
    def ask(number: int, frame: object) -> None:
        raise Asked(number)

    before = signal.signal(number, ask)
    try:
        with pytest.raises(Asked) as raised, Interruptible(), contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(number)
        assert raised.value.args == (number,)
        assert signal.getsignal(number) is ask
    finally:
        signal.signal(number, before)


def test_a_handler_that_raises_nothing_is_still_called() -> None:
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    with Interruptible():
        signal.raise_signal(signal.SIGINT)
    assert came == [signal.SIGINT]
