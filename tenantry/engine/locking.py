"""Locking: one run a stack, among this engine's runs and the Pulumi CLI's.

Two locks are held together. The first is `flock` on a file of ours: the kernel drops it when its process dies. The
second is Pulumi's: a file per holder under `.pulumi/locks/…`, which nobody drops. Our lock file names the Pulumi lock
that we wrote, so a run that gets the first lock knows a Pulumi lock of our own dead run, and removes it.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from tenantry.engine.storage import StackFiles, make_folder, storage_error, write_atomically
from tenantry.tenancy.errors import Locked

__all__ = ["hold"]


@contextmanager
def hold(files: StackFiles) -> Iterator[None]:
    """Hold a stack. Raises Locked at once, saying who holds it since when."""
    descriptor = _acquired(files.lock)
    try:
        _remove(files.locks / f"{_ours(descriptor)}.json")
        held = _foreign(files)
        if held is not None:
            raise _locked(held, "wait until that run has ended; if it is dead for certain: pulumi cancel")
        name = str(uuid4())
        _write_owner(descriptor, files, name)
        lock = files.locks / f"{name}.json"
        write_atomically(lock, json.dumps(_owner()).encode())
        try:
            held = _foreign(files, but=lock)
            if held is not None:
                raise _locked(held, "wait until that run has ended, then try again")
            yield
        finally:
            _remove(lock)
            if not files.checkpoint.exists():
                # The stack is gone, or never began. (A living stack's folder stays: the CLI may be about to write.)
                with suppress(OSError):
                    files.locks.rmdir()
    finally:
        os.close(descriptor)


def _acquired(path: Path) -> int:
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
            raise _locked(path, "wait until that run has ended, then try again") from None
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _owner() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "username": getpass.getuser(),
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


def _write_owner(descriptor: int, files: StackFiles, name: str) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"lock": name, **_owner()}).encode(), 0)
        os.fsync(descriptor)
    except OSError as error:
        raise storage_error(error, files.lock) from error


def _foreign(files: StackFiles, but: Path | None = None) -> Path | None:
    found = sorted(files.locks.glob("*.json")) if files.locks.is_dir() else []
    return next((path for path in found if path != but), None)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _locked(path: Path, hint: str) -> Locked:
    try:
        owner = json.loads(path.read_bytes())
        who = f"{owner['username']}@{owner['hostname']} (pid {owner['pid']}) since {owner['timestamp']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "a run that has just started"
    return Locked(f"the stack is held by {who}", where=str(path), hint=hint)
