"""Locking: one run a stack, among this engine's runs and the Pulumi CLI's.

Two locks are held together. The first is `flock` on a file of ours: the kernel drops it when its process dies. The
second is Pulumi's: a file per holder under `.pulumi/locks/…`, which nobody drops. Our lock file names the Pulumi lock
that we wrote, and a marker (marking.py) the CLI process that we started, so a run that gets the first lock knows the
Pulumi locks of our own dead runs, and removes them. Anybody else's stays.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psutil

from tenantry.engine.marking import Marker
from tenantry.engine.storage import StackFiles, make_folder, storage_error, write_atomically
from tenantry.tenancy.errors import InvalidInput, Locked

__all__ = ["Holder", "alone", "break_lock", "clear_stale", "hold", "holders", "refuse_held", "username"]

_CLOCK_S = 5
"""By how much the clocks of a lock file and of the kernel may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who wrote a Pulumi lock file. name: `user@host`, None where the file does not say."""

    path: Path
    name: str | None
    pid: int | None
    since: str | None

    @property
    def lock(self) -> str:
        """What `tenantry state recover --break-lock` takes."""
        return self.path.stem

    @property
    def is_alive(self) -> bool:
        """Whether its process certainly runs: on this machine, under that id, and not begun after the lock was
        written (process ids come again)."""
        if self.pid is None or self.name is None or self.since is None:
            return False
        if self.name.rpartition("@")[2] != socket.gethostname():
            return False
        try:
            since = datetime.fromisoformat(self.since)
            return psutil.Process(self.pid).create_time() <= since.timestamp() + _CLOCK_S
        except (psutil.Error, ValueError):
            return False

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid}) since {self.since}" if self.name else "a run that has just started"


@contextmanager
def hold(files: StackFiles) -> Iterator[None]:
    """Hold a stack. Raises Locked at once, saying who holds it since when."""
    descriptor = _acquired(files.lock)
    try:
        _clear(files, descriptor)
        refuse_held(files)
        files.clear_leftovers()
        name = str(uuid4())
        _write(descriptor, files.lock, {"lock": name, **_owner()})
        lock = files.locks / f"{name}.json"
        write_atomically(lock, json.dumps(_owner()).encode())
        try:
            refuse_held(files, but=lock)
            yield
        finally:
            _remove(lock)
            if not files.checkpoint.exists():
                # The stack is gone, or never began. (A living stack's folder stays: the CLI may be about to write.)
                with suppress(OSError):
                    files.locks.rmdir()
                files.remove_lock()
    finally:
        os.close(descriptor)


@contextmanager
def alone(path: Path, *, what: str, hint: str) -> Iterator[None]:
    """Hold a lock file among the processes of this machine; it goes with its holder. what: is held, for the message.
    Raises Locked at once, saying who holds it since when."""
    descriptor = _acquired(path, what=what, hint=hint)
    try:
        _write(descriptor, path, _owner())
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: who waits for this file sees that it is another one
        os.close(descriptor)


def clear_stale(files: StackFiles) -> tuple[Path, ...]:
    """Remove the Pulumi locks that our own dead runs left, and say which. Does nothing while a run of this engine
    lives."""
    try:
        descriptor = _acquired(files.lock)
    except Locked:
        return ()
    try:
        return _clear(files, descriptor)
    finally:
        os.close(descriptor)


def break_lock(files: StackFiles, lock: str) -> Holder:
    """Remove one Pulumi lock, whoever wrote it, on somebody's explicit word. Raises InvalidInput when there is no such
    lock, Locked while the process that it names runs on this machine."""
    found = next((one for one in holders(files) if one.lock == lock), None)
    if found is None:
        there = ", ".join(f"{one.lock} of {one}" for one in holders(files))
        raise InvalidInput(
            f"the stack has no lock {lock}",
            source=str(files.locks),
            hint=f"it has {there}" if there else "nobody holds it: run the command without --break-lock",
        )
    if found.is_alive:
        raise Locked(
            f"the stack is held by {found}, and that process runs on this machine",
            where=str(found.path),
            hint="let it end, or stop it by an interrupt; then the lock goes by itself",
        )
    _remove(found.path)
    return found


def holders(files: StackFiles) -> tuple[Holder, ...]:
    """Who holds the stack by Pulumi's lock files."""
    return tuple(_holder(path) for path in sorted(files.locks.glob("*.json")))


def _clear(files: StackFiles, descriptor: int) -> tuple[Path, ...]:
    marker = Marker(files)
    own = files.locks / f"{_ours(descriptor)}.json"
    stale = [path for path in sorted(files.locks.glob("*.json")) if path == own or marker.wrote(path)]
    for path in stale:
        _remove(path)
    return tuple(stale)


def refuse_held(files: StackFiles, but: Path | None = None) -> None:
    """Raises Locked while somebody holds the stack by another of Pulumi's lock files than `but`."""
    for one in holders(files):
        if one.path != but:
            raise Locked(
                f"the stack is held by {one}",
                where=str(one.path),
                hint="wait until that run has ended; if it is dead for certain: "
                f"`tenantry state recover` with --break-lock {one.lock}",
            )


def _acquired(
    path: Path, *, what: str = "the stack", hint: str = "wait until that run has ended, then try again"
) -> int:
    """Descriptor of the locked file, which stands at its path: a run that removes its stack takes the file away."""
    while True:
        try:
            make_folder(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise storage_error(error, path) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise Locked(f"{what} is held by {_holder(path)}", where=str(path), hint=hint) from None
        except FileNotFoundError:
            pass
        os.close(descriptor)


def username() -> str:
    """Whose process this is; the number of an account that has no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _owner() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "username": username(),
        "hostname": socket.gethostname(),
        "timestamp": datetime.now(UTC).isoformat(),
    }


def _ours(descriptor: int) -> str:
    """Name of the Pulumi lock that the last holder of our lock wrote."""
    text = os.pread(descriptor, 4096, 0)
    try:
        return str(json.loads(text)["lock"])
    except (ValueError, KeyError, TypeError):
        return "none"


def _write(descriptor: int, path: Path, owner: Mapping[str, object]) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner).encode(), 0)
        os.fsync(descriptor)
    except OSError as error:
        raise storage_error(error, path) from error


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _holder(path: Path) -> Holder:
    try:
        owner = json.loads(path.read_bytes())
        name, pid = f"{owner['username']}@{owner['hostname']}", int(owner["pid"])
        return Holder(path=path, name=name, pid=pid, since=str(owner["timestamp"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Holder(path=path, name=None, pid=None, since=None)
