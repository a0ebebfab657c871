"""A worker process: `main` in an interpreter of its own, started and spoken to by workers.py over a socket.

Each run has a thread, so that a run which waits for Jobs and Deployments holds up no other. SIGTERM and SIGINT (which
a terminal sends to all), and the end of the parent, end the runs in order: after their wave, saved.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import signal
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from tenantry.engine.request import Request, execute
from tenantry.tenancy.errors import RunFailed, TenantryError

__all__ = ["Begin", "Done", "Greeting", "Happened", "Leave", "Ready", "Stop", "main"]

_COLLECT_EVERY = 2


@dataclass(frozen=True, slots=True)
class Greeting:
    """The parent's first message. path: its sys.path. preload: modules to import before the first run."""

    path: list[str]
    preload: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """environment: variables of the parent's that this process was not started with."""

    number: int
    request: Request
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Stop:
    number: int


@dataclass(frozen=True, slots=True)
class Leave:
    """There will be no more runs."""


@dataclass(frozen=True, slots=True)
class Ready:
    """All is imported: a worker's first message."""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a run."""

    number: int
    event: Any


@dataclass(frozen=True, slots=True)
class Done:
    """A run's last message: its result, or the error that ended it."""

    number: int
    result: Any = None
    error: BaseException | None = None


class _Worker:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._running: dict[int, threading.Event] = {}
        self._ended = 0

    def serve(self) -> None:
        """Until the parent says so or is gone; then what runs is ended in order."""
        self._send(Ready())
        threads: list[threading.Thread] = []
        while (message := self._received()) is not None:
            if isinstance(message, Stop):
                if (stop := self._running.get(message.number)) is not None:
                    stop.set()
                continue
            os.environ.update(message.environment)
            threads = [one for one in threads if one.is_alive()]
            stop = self._running[message.number] = threading.Event()
            threads.append(threading.Thread(target=self._run, args=(message, stop), name=f"run-{message.number}"))
            threads[-1].start()
        self.stop_all()
        for thread in threads:
            thread.join()

    def stop_all(self) -> bool:
        """Whether anything was running."""
        running = tuple(self._running.values())
        for stop in running:
            stop.set()
        return bool(running)

    def _received(self) -> Begin | Stop | None:
        try:
            message: Begin | Stop | Leave = self._connection.recv()
        except (EOFError, OSError):
            return None
        return None if isinstance(message, Leave) else message

    def _run(self, begin: Begin, stop: threading.Event) -> None:
        number = begin.number
        try:
            done = Done(number, result=execute(begin.request, lambda event: self._send(Happened(number, event)), stop))
        except TenantryError as error:
            done = Done(number, error=error)
        except BaseException as error:  # noqa: BLE001 (handed to the caller in the parent)
            error.add_note("".join(traceback.format_exception(error)))
            done = Done(number, error=error)
        del self._running[number]
        try:
            self._send(done)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            what = f"what a run gave back cannot be handed over ({type(error).__name__})"
            self._send(Done(number, error=RunFailed(what, where=begin.request.stack.name)))
        self._ended += 1
        if self._ended % _COLLECT_EVERY == 0:
            gc.collect()

    def _send(self, message: Ready | Happened | Done) -> None:
        with self._sending, suppress(BrokenPipeError, ConnectionResetError):  # the parent died: there is only to save
            self._connection.send(message)


def main(descriptor: int) -> None:
    """descriptor: of this end of the socket."""
    connection = Connection(descriptor)
    worker = _Worker(connection)

    def ask(number: int, _frame: FrameType | None) -> None:
        if not worker.stop_all() and number == signal.SIGTERM:
            raise SystemExit(0)  # in order: only then the Kubernetes client removes its copies of our keys

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    try:
        greeting: Greeting = connection.recv()
    except (EOFError, OSError):
        return
    sys.path[:] = greeting.path
    # Imports and runs make much and drop little: a collection now and then costs half of those that they would start.
    gc.disable()
    for name in greeting.preload:
        importlib.import_module(name)
    # What is imported stays; the collector need not walk it at each run.
    gc.collect()
    gc.freeze()
    worker.serve()
