"""The faults themselves: how each is made and lifted, on real processes of the suite's own platform."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.faults.cases import Fault
from bench.faults.cell import FaultCell

__all__ = ["Struck", "is_possible", "prepared"]

_AT_MOST_S = 25.0
"""How long a system stays away when nobody notices."""
_SLOW_AT_MOST_S = 45.0
_STOPPED_S, _RUNS_S = 0.9, 0.1
_LEAST_FREE = 4096
_KILL = signal.SIGKILL


@dataclass(slots=True, kw_only=True)
class Struck:
    """began, ended: when the fault did, by the monotonic clock."""

    began: float = 0.0
    ended: float = 0.0

    @property
    def seconds(self) -> float:
        return self.ended - self.began


Strike = Callable[[Callable[[], bool]], Struck]
"""Makes the fault, keeps it until its argument says that it was noticed (with a bound), and lifts it."""


def is_possible(cell: FaultCell, fault: Fault) -> bool:
    return fault.how != "full" or cell.disk is not None


@contextmanager
def prepared(cell: FaultCell, fault: Fault) -> Iterator[Strike]:
    """Have everything at hand, so that the strike itself takes no time."""
    if fault is Fault.NONE:
        yield _nothing
        return
    process = cell.process(fault.part)
    whole = [*process.children(recursive=True)] if fault is Fault.OPERATOR_KILLED_WHOLE else []

    def strike(noticed: Callable[[], bool]) -> Struck:
        struck = Struck(began=time.monotonic())
        match fault.how:
            case "killed":
                for one in (process, *whole):
                    _signal(one, _KILL)
            case "down":
                _signal(process, _KILL)
                cell.supervisor.stop(fault.part)
                _wait(noticed, _AT_MOST_S)
                cell.bring_back()
            case "sealed":
                cell.openbao.client(cell.openbao.admin_token()).sys.seal()
                _wait(noticed, _AT_MOST_S)
                cell.bring_back()
            case "hung":
                _signal(process, signal.SIGSTOP)
                _wait(noticed, _AT_MOST_S)
                _signal(process, signal.SIGCONT)
            case "slow":
                _slowly(process, noticed)
            case "full":
                assert cell.disk is not None
                with _filled(cell.disk):
                    _wait(noticed, _AT_MOST_S)
        struck.ended = time.monotonic()
        return struck

    try:
        yield strike
    finally:
        if fault.how in ("hung", "slow"):
            _signal(process, signal.SIGCONT)
        cell.await_well(fault.part)


def _nothing(_noticed: Callable[[], bool]) -> Struck:
    now = time.monotonic()
    return Struck(began=now, ended=now)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _wait(until: Callable[[], bool], at_most_s: float) -> None:
    deadline, pause = time.monotonic() + at_most_s, threading.Event()
    while not until() and time.monotonic() < deadline:
        pause.wait(0.1)


def _slowly(process: psutil.Process, noticed: Callable[[], bool]) -> None:
    """A tenth of its speed, in pieces shorter than any timeout."""
    deadline, pause = time.monotonic() + _SLOW_AT_MOST_S, threading.Event()
    while not noticed() and time.monotonic() < deadline:
        _signal(process, signal.SIGSTOP)
        pause.wait(_STOPPED_S)
        _signal(process, signal.SIGCONT)
        pause.wait(_RUNS_S)


@contextmanager
def _filled(folder: Path) -> Iterator[None]:
    """No room is left on its file system, not even for what is freed meanwhile."""
    path, stop = folder.parent / "data" / "ballast", threading.Event()

    def fill() -> None:
        with path.open("wb") as file:
            while not stop.is_set():
                free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
                try:
                    if free > _LEAST_FREE:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, free)
                except OSError:
                    pass  # somebody was faster: looked at again
                stop.wait(0.02)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        path.unlink()
