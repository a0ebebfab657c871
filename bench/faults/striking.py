"""The faults themselves: how each is made and lifted, on real processes of the suite's own platform."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pymysql
from pymysql.constants import ER

from bench.faults.cases import Fault
from bench.faults.cell import FaultCell
from tenantry.tenancy.errors import TenantryError
from tenantry_components.providers.mariadb_server import DROP_S, server

__all__ = ["Struck", "is_possible", "prepared"]

_AT_MOST_S = 25.0
"""How long a system stays away when nobody notices."""
_SLOW_AT_MOST_S = 45.0
_STOPPED_S, _RUNS_S = 0.9, 0.1
_BALLAST = "t_ballast"
"""A schema as a tenant's is called: the provisioner makes no other."""


@dataclass(slots=True, kw_only=True)
class Struck:
    """When, by the monotonic clock: the fault began, it ended, and the part was at work again. Of a kill the first two
    are one moment."""

    began: float = 0.0
    ended: float = 0.0
    back: float = 0.0

    @property
    def away_s(self) -> float:
        return self.back - self.began


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
    # A part may be a script that waits for its server.
    whole = [] if fault is Fault.OPERATOR_KILLED else process.children(recursive=True)
    making = _Making(cell, fault.part, [process, *whole])
    make = getattr(making, fault.how)
    struck = Struck()

    def watch() -> None:
        cell.await_operator()
        struck.back = time.monotonic()

    watching = threading.Thread(target=watch, daemon=True)

    def strike(noticed: Callable[[], bool]) -> Struck:
        struck.began = time.monotonic()
        make(noticed)
        struck.ended = struck.back = time.monotonic()
        if fault.how == "killed":
            watching.start()
        return struck

    try:
        yield strike
    finally:
        if fault.how in ("hung", "slow"):
            _signal(process, signal.SIGCONT)
        if watching.ident is not None:
            watching.join()
        cell.await_well(fault.part)


@dataclass(frozen=True, slots=True)
class _Making:
    """A method for each way in which a part fails. processes: the part's, its supervised one first."""

    cell: FaultCell
    part: str
    processes: list[psutil.Process]

    def killed(self, _noticed: Callable[[], bool]) -> None:
        for one in self.processes:
            _signal(one, signal.SIGKILL)

    def down(self, noticed: Callable[[], bool]) -> None:
        self.killed(noticed)
        self.cell.supervisor.stop(self.part)
        _wait(noticed, _AT_MOST_S)
        self.cell.bring_back()

    def sealed(self, noticed: Callable[[], bool]) -> None:
        openbao = self.cell.openbao
        openbao.client(openbao.admin_token()).sys.seal()
        _wait(noticed, _AT_MOST_S)
        self.cell.bring_back()

    def hung(self, noticed: Callable[[], bool]) -> None:
        _signal(self.processes[0], signal.SIGSTOP)
        _wait(noticed, _AT_MOST_S)
        _signal(self.processes[0], signal.SIGCONT)

    def slow(self, noticed: Callable[[], bool]) -> None:
        """A tenth of its speed, in pieces shorter than any timeout."""
        deadline, pause = time.monotonic() + _SLOW_AT_MOST_S, threading.Event()
        while not noticed() and time.monotonic() < deadline:
            _signal(self.processes[0], signal.SIGSTOP)
            pause.wait(_STOPPED_S)
            _signal(self.processes[0], signal.SIGCONT)
            pause.wait(_RUNS_S)

    def full(self, noticed: Callable[[], bool]) -> None:
        assert self.cell.disk is not None
        with _Demand(self.cell).prepared() as demand, _filled(self.cell.disk):
            demand.make()
            _wait(noticed, _AT_MOST_S)


def _nothing(_noticed: Callable[[], bool]) -> Struck:
    now = time.monotonic()
    return Struck(began=now, ended=now, back=now)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _wait(until: Callable[[], bool], at_most_s: float) -> None:
    deadline, pause = time.monotonic() + at_most_s, threading.Event()
    while not until() and time.monotonic() < deadline:
        pause.wait(0.1)


class _Demand:
    """Has MariaDB itself find that it is full, by rows for which there is no room. It then refuses, or waits for room
    until a minute after there is some."""

    def __init__(self, cell: FaultCell) -> None:
        database, keys = cell.fleet.cell.spec.database, cell.fleet.cell.spec.openbao
        self._server = server(
            host=database.host,
            port=database.port,
            database_mount=keys.database_mount,
            kv_mount=keys.kv_mount,
            patience_s=DROP_S,
        )
        self._log = cell.platform.logs("mariadb")
        self._refused, self._lifted = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._insert, daemon=True)

    @contextmanager
    def prepared(self) -> Iterator[_Demand]:
        """With a schema and a connection at hand; both are gone at the end."""
        with self._server.session() as session:
            session.execute(f"CREATE DATABASE IF NOT EXISTS {_BALLAST}")
            session.execute(f"CREATE OR REPLACE TABLE {_BALLAST}.rows (data VARCHAR(4000))")
        try:
            yield self
        finally:
            self._lifted.set()
            if self._thread.ident is not None:
                self._thread.join()
            with self._server.session() as session:
                session.execute(f"DROP DATABASE {_BALLAST}")

    def make(self) -> None:
        """Raises TimeoutError when MariaDB does not say that it is full."""
        size = self._log.stat().st_size
        self._thread.start()

        def said() -> bool:
            with self._log.open("rb") as file:
                file.seek(size)
                return self._refused.is_set() or b"Disk is full" in file.read()  # it waits for room

        _wait(said, _AT_MOST_S)
        if not said():
            raise TimeoutError("MariaDB does not say that it is full")

    def _insert(self) -> None:
        with suppress(TenantryError), self._server.session() as session:
            try:
                while not self._lifted.is_set():
                    session.execute(f"INSERT INTO {_BALLAST}.rows VALUES (REPEAT('x', 4000))")
            except pymysql.MySQLError as error:
                if error.args[0] in (ER.DISK_FULL, ER.RECORD_FILE_FULL):
                    self._refused.set()
                raise


@contextmanager
def _filled(folder: Path) -> Iterator[None]:
    """No room is left on its file system, not even what is freed meanwhile."""
    path, full, stop = folder / "ballast", threading.Event(), threading.Event()

    def fill() -> None:
        with path.open("wb") as file:
            while not stop.wait(0.02):
                found = os.statvfs(folder)
                free = found.f_bavail * found.f_frsize
                if not free:
                    full.set()
                    continue
                # Somebody may be faster: then it is looked at again.
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, free)
                # Where all of that does not fit: what a file needs besides its content.
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, found.f_frsize)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        full.wait(_AT_MOST_S)
        yield
    finally:
        stop.set()
        thread.join()
        path.unlink()
