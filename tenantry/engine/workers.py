"""Where runs are executed: in this process, or in a pool of warm worker processes.

A worker runs one stack at a time. Events come back over one queue, told apart by run. A run is stopped by SIGTERM to
its worker (or SIGINT, which a terminal sends to all): it ends after its wave and saves; the worker lives on.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from tenantry.engine.interface import Event, OnEvent, Program, Stack
from tenantry.tenancy.errors import RunFailed

__all__ = ["InProcess", "Request", "Workers"]

_STOP_S = 60
"""How long a stopped run may take to end its wave and save."""
_PRELOAD = ("tenantry.engine.run", "pulumi_kubernetes.core.v1", "pulumi_kubernetes.meta.v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of the engine. operation: the interface's method."""

    operation: str
    stack: Stack
    program: Program | None = None
    lift_protection: bool = False


def execute(request: Request, emit: Callable[[Event], None], stop: threading.Event) -> Any:
    # Imported here, so that a process which only has workers never loads the SDK.
    from tenantry.engine.run import Run

    run = Run(request.stack, emit=emit, stop=stop)
    if request.program is not None:
        return {"evaluate": run.evaluate, "preview": run.preview, "up": run.up}[request.operation](request.program)
    if request.operation == "destroy":
        return run.destroy(lift_protection=request.lift_protection)
    simple: dict[str, Callable[[], Any]] = {
        "export": run.export,
        "outputs": run.outputs,
        "recover": run.recover,
        "refresh": run.refresh,
        "remove": run.remove,
    }
    return simple[request.operation]()


class InProcess:
    """Runs in the calling thread, one at a time. In the main thread, SIGINT and SIGTERM stop the run in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def run(self, request: Request, on_event: OnEvent | None) -> Any:
        with self._lock:
            self._stop.clear()
            with _stopped_by_signals(self._stop):
                return execute(request, on_event or _ignore, self._stop)

    def stop(self) -> None:
        """Ask the run that is under way to end after its wave."""
        self._stop.set()

    def close(self) -> None:
        """Nothing is kept."""


class Workers:
    """A pool of worker processes. count: how many. preload: modules to import at their start."""

    def __init__(self, count: int, preload: tuple[str, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self._events: Any = context.SimpleQueue()
        self._pool = ProcessPool(
            max_workers=count, initializer=_start, initargs=(self._events, (*_PRELOAD, *preload)), context=context
        )
        self._numbers = itertools.count(1)
        self._listeners: dict[int, OnEvent] = {}
        self._pids: dict[int, int] = {}
        self._futures: dict[int, ProcessFuture[Any]] = {}
        self._ends: dict[int, threading.Event] = {}
        self._lock = threading.Lock()
        self._dispatcher = threading.Thread(target=self._dispatch, name="engine-events", daemon=True)
        self._dispatcher.start()

    def run(self, request: Request, on_event: OnEvent | None) -> Any:
        number = next(self._numbers)
        drained = threading.Event()
        with self._lock:
            self._listeners[number] = on_event or _ignore
            self._ends[number] = drained
        future = self._pool.submit(_serve, None, number, request)
        with self._lock:
            self._futures[number] = future
        try:
            result = future.result()
        except KeyboardInterrupt:
            self._interrupt(number)
            with suppress(Exception):  # the run's own error; the interrupt is what the caller must see
                future.result(timeout=_STOP_S)
            raise
        except CancelledError as error:
            raise RunFailed(
                "the run was stopped before it began", where=request.stack.name, hint="run the same command again"
            ) from error
        except ProcessExpired as error:
            raise RunFailed(
                f"the worker process died (exit code {error.exitcode})",
                where=request.stack.name,
                hint="run the same command again: it goes on where this run was",
            ) from error
        finally:
            drained.wait(1)
            with self._lock:
                self._listeners.pop(number, None)
                self._pids.pop(number, None)
                self._ends.pop(number, None)
                self._futures.pop(number, None)
        return result

    def stop(self) -> None:
        """Ask every run that is under way to end after its wave; one that no worker has taken yet never begins."""
        with self._lock:
            numbers = list(self._futures)
        for number in numbers:
            self._interrupt(number)

    def close(self) -> None:
        self.stop()
        self._pool.close()  # type: ignore[no-untyped-call]
        self._pool.join(_STOP_S)
        self._events.put(None)
        self._dispatcher.join(_STOP_S)

    def _interrupt(self, number: int) -> None:
        with self._lock:
            pid, future = self._pids.get(number), self._futures.get(number)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        elif future is not None:
            future.cancel()  # type: ignore[no-untyped-call]

    def _dispatch(self) -> None:
        while (item := self._events.get()) is not None:
            number, what = item
            with self._lock:
                listener = self._listeners.get(number)
                if isinstance(what, _Pid):
                    self._pids[number] = what.pid
                    continue
                if isinstance(what, _End):
                    if (end := self._ends.get(number)) is not None:
                        end.set()
                    continue
            if listener is not None:
                listener(what)


@dataclass(frozen=True, slots=True)
class _Pid:
    """A worker has taken a run."""

    pid: int


@dataclass(frozen=True, slots=True)
class _End:
    """The last message of a run."""


def _ignore(event: Event) -> None:
    """For callers that do not listen."""


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# -- in a worker process -----------------------------------------------------------------------------------------------

_queue: Any = None
_running: threading.Event | None = None


def _start(events: Any, preload: tuple[str, ...]) -> None:
    global _queue
    _queue = events
    signal.signal(signal.SIGINT, _ask)
    signal.signal(signal.SIGTERM, _ask)
    for name in preload:
        importlib.import_module(name)
    # What is imported stays; the collector need not walk it at each run.
    gc.collect()
    gc.freeze()


def _ask(number: int, _frame: FrameType | None) -> None:
    if _running is not None:
        _running.set()
    elif number == signal.SIGTERM:
        os._exit(0)  # an idle worker that its pool puts away


def _serve(number: int, request: Request) -> Any:
    global _running
    _running = threading.Event()
    # A run makes much and drops little: one collection at its end costs half of those that it would start itself.
    gc.disable()
    try:
        _queue.put((number, _Pid(os.getpid())))
        return execute(request, lambda event: _queue.put((number, event)), _running)
    finally:
        _running = None
        _queue.put((number, _End()))
        gc.enable()
        gc.collect()
