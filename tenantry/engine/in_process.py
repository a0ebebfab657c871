"""Runs in the calling process: no worker to start, for a command that has one stack to run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from tenantry.engine.interface import Event, OnEvent, Stack
from tenantry.engine.request import Request, execute

__all__ = ["InProcess"]

_STOP_S = 60
"""How long stopped runs may take to end their wave and save."""


class InProcess:
    """Each run is in its caller's thread; several threads may run several stacks. In the main thread SIGINT and
    SIGTERM end the run in order, then raise KeyboardInterrupt."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: dict[threading.Event, Stack] = {}

    def run(self, request: Request, on_event: OnEvent | None) -> Any:
        stop = threading.Event()
        with self._changed:
            self._running[stop] = request.stack
        try:
            with _stopped_by_signals(stop):
                return execute(request, on_event or _ignore, stop)
        finally:
            with self._changed:
                self._running.pop(stop, None)
                self._changed.notify_all()

    def stop(self, stack: Stack | None = None) -> None:
        """Ask every run that is under way (of this stack) to end after its wave."""
        # A copy, not the lock: a signal's handler may call this in the middle of anything.
        for stop, its in tuple(self._running.items()):
            if stack in (None, its):
                stop.set()

    def close(self) -> None:
        """Stop what other threads run, and wait until it is saved."""
        self.stop()
        with self._changed:
            self._changed.wait_for(lambda: not self._running, _STOP_S)


def _ignore(event: Event) -> None:
    """For callers that do not listen."""


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception as error:
        if asked:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt
