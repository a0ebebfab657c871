"""A set of warm worker processes, each of which serves several runs at once.

Only the evaluation of a program is exclusive to a process; loading, planning and waiting are not. So runs are handed
to the worker that has the fewest, and none waits for another to end, nor for a worker to start while one is ready.
Workers start when they are first needed; the first at once where somebody waits for work.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tenantry.engine.interface import OnEvent, Stack
from tenantry.engine.request import Request
from tenantry.engine.worker import Begin, Done, Greeting, Happened, Leave, Ready, Stop
from tenantry.tenancy.errors import RunFailed

__all__ = ["Workers"]

_STOP_S = 60
"""How long stopped runs may take to end their wave and save."""
_PRIVATE = ("KEY", "PASSPHRASE", "PASSWORD", "SECRET", "TOKEN")
"""Ends of the names of variables that hold secrets."""
_PRELOAD = ("tenantry.engine.run", "pulumi_kubernetes.core.v1", "pulumi_kubernetes.meta.v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """A run that a worker has. done: its result or error."""

    stack: str
    on_event: OnEvent | None
    done: Future[Any] = field(default_factory=Future)


class _Process:
    """One worker process, and the thread that reads what it says."""

    def __init__(self, preload: tuple[str, ...]) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        # What a process was started with can be read for as long as it lives; secrets are handed over with a run.
        self._given = {key: value for key, value in os.environ.items() if not key.endswith(_PRIVATE)}
        start = f"from tenantry.engine.worker import main; main({theirs.fileno()})"
        # Not multiprocessing's own start: that would import the parent's main module, a command line, in each worker.
        self._process = subprocess.Popen(
            [sys.executable, "-c", start],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            # Each thread of a run would get a heap of its own from glibc, and keep it.
            env=self._given | {"MALLOC_ARENA_MAX": "2"},
        )
        theirs.close()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._pending: dict[int, _Pending] = {}
        self.alive = True
        self.ready = False
        self._send(Greeting([path for path in sys.path if path], preload))
        self._reader = threading.Thread(target=self._read, name="engine-events", daemon=True)
        self._reader.start()

    @property
    def load(self) -> int:
        return len(self._pending)

    def begin(self, number: int, request: Request, pending: _Pending) -> None:
        with self._lock:
            self._pending[number] = pending
        environment = {key: value for key, value in os.environ.items() if self._given.get(key) != value}
        try:
            self._send(Begin(number, request, environment))
        except BaseException:  # arguments that cannot be pickled
            with self._lock:
                self._pending.pop(number, None)
            raise
        if not self.alive:  # it died in between: its reader may have been through already
            self._bury()

    def stop(self, number: int | None = None, *, stack: str | None = None) -> None:
        """Ask a run, those of a stack, or all of them, to end after its wave."""
        with self._lock:
            numbers = [
                one
                for one, pending in self._pending.items()
                if number in (None, one) and stack in (None, pending.stack)
            ]
        for one in numbers:
            self._send(Stop(one))

    def leave(self) -> None:
        """Have the process end its runs in order, then itself."""
        self.stop()
        self._send(Leave())

    def wait(self, seconds: float) -> None:
        """Until it has left; killed when it has not in this time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_STOP_S)
        self._connection.close()

    def _read(self) -> None:
        while True:
            try:
                message: Ready | Happened | Done = self._connection.recv()
            except (EOFError, OSError):
                break
            if isinstance(message, Ready):
                self.ready = True
                continue
            with self._lock:
                pending = self._pending.get(message.number)
                if isinstance(message, Done):
                    self._pending.pop(message.number, None)
            if pending is None:
                continue
            if isinstance(message, Happened):
                if pending.on_event is not None:
                    pending.on_event(message.event)
            elif message.error is not None:
                pending.done.set_exception(message.error)
            else:
                pending.done.set_result(message.result)
        self._process.wait()
        self.alive = False
        self._bury()

    def _bury(self) -> None:
        with self._lock:
            left = list(self._pending.values())
            self._pending.clear()
        for pending in left:
            error = RunFailed(
                f"the worker process died (exit code {self._process.returncode})",
                where=pending.stack,
                hint="run the same command again: it goes on where this run was",
            )
            pending.done.set_exception(error)

    def _send(self, message: object) -> None:
        with self._sending, suppress(BrokenPipeError, ConnectionResetError):  # the reader sees that it died
            self._connection.send(message)


class Workers:
    """count: how many processes at most. preload: modules that each imports when it starts; the first then starts at
    once."""

    def __init__(self, count: int, preload: tuple[str, ...]) -> None:
        self._count = count
        self._preload = (*_PRELOAD, *preload)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._processes = [_Process(self._preload)] if preload else []
        self._closed = False

    def run(self, request: Request, on_event: OnEvent | None) -> Any:
        number = next(self._numbers)
        pending = _Pending(stack=request.stack.name, on_event=on_event)
        with self._lock:
            process = self._chosen(request)
            process.begin(number, request, pending)
        try:
            return pending.done.result()
        except KeyboardInterrupt:
            process.stop(number)
            with suppress(Exception):  # the run's own error; the interrupt is what the caller must see
                pending.done.result(timeout=_STOP_S)
            raise

    def stop(self, stack: Stack | None = None) -> None:
        """Ask every run that is under way (of this stack) to end after its wave."""
        for process in tuple(self._processes):
            process.stop(stack=None if stack is None else stack.name)

    def close(self) -> None:
        """End all runs in order, then the processes."""
        with self._lock:
            self._closed = True
            processes, self._processes = self._processes, []
        for process in processes:
            process.leave()
        deadline = time.monotonic() + _STOP_S
        for process in processes:
            process.wait(max(1.0, deadline - time.monotonic()))

    def _chosen(self, request: Request) -> _Process:
        """The worker with the fewest runs, of those that are ready. Another is started while there may be more and each
        has company for this run already: two share one well, and a start costs as much as a run."""
        if self._closed:
            raise RunFailed("the engine is closed", where=request.stack.name, hint="run the same command again")
        self._processes = [one for one in self._processes if one.alive]
        if len(self._processes) < self._count and all(one.load > 1 for one in self._processes):
            self._processes.append(_Process(self._preload))
        ready = [one for one in self._processes if one.ready]
        return min(ready or self._processes, key=lambda one: one.load)
