"""The supervisor's loop, on real pipes and signals."""

from __future__ import annotations

import os
import signal

from natlb.control.loop import Loop


def test_a_readable_fd_calls_its_action_until_it_is_ignored() -> None:
    """Level-triggered, as the kernel has it."""
    loop, calls = Loop(), []
    reading, writing = os.pipe()
    loop.watch(reading, lambda: calls.append(1))
    os.write(writing, b"x")
    loop.step(1)
    loop.step(1)
    loop.ignore(reading)
    loop.ignore(reading)
    loop.step(0)

    assert calls == [1, 1]
    os.close(reading)
    os.close(writing)


def test_an_fd_ignored_within_a_round_is_not_called_in_it() -> None:
    """A dead child's channel is closed while its pidfd is handled."""
    loop, calls = Loop(), []
    pipes = [os.pipe(), os.pipe()]

    def first() -> None:
        calls.append(1)
        for reading, _ in pipes:
            loop.ignore(reading)

    for reading, writing in pipes:
        loop.watch(reading, first)
        os.write(writing, b"x")
    loop.step(1)

    assert calls == [1]
    for pipe in pipes:
        for fd in pipe:
            os.close(fd)


def test_times_come_in_their_order() -> None:
    """And those of the same time in the order they were asked for."""
    loop, calls = Loop(), []
    loop.after(0.002, lambda: calls.append("later"))
    loop.after(0, lambda: calls.append("first"))
    loop.after(0, lambda: calls.append("second"))
    loop.after(0.003, loop.stop)
    loop.run()

    assert calls == ["first", "second", "later"]


def test_signals_are_taken_in_the_loop() -> None:
    """Not in the middle of whatever is going on."""
    loop, calls = Loop(), []
    before = signal.getsignal(signal.SIGUSR1)
    try:
        loop.on_signals({signal.SIGUSR1: lambda: calls.append("told")})
        os.kill(os.getpid(), signal.SIGUSR1)

        assert calls == []
        loop.step(1)
        assert calls == ["told"]
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)


def test_stop_ends_the_round() -> None:
    """What is due after it waits for the next `run`."""
    loop, calls = Loop(), []
    loop.after(0, loop.stop)
    loop.after(0, lambda: calls.append(1))
    loop.run()
    assert calls == []
    loop.stop()
    loop.run()
    assert calls == []

    loop.after(0, loop.stop)
    loop.run()
    assert calls == [1]
