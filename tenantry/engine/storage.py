"""Where a stack's files are, and writing them so that a power cut leaves the old text or the new one.

`<backend>/.pulumi/` is Pulumi's own layout (the CLI reads it); `<backend>/.tenantry/` holds what only this engine
needs; `<backend>/settings/` the stack settings that the CLI needs. Files are 0600, folders 0700, from their creation.
"""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from tenantry.engine.interface import Stack
from tenantry.tenancy.errors import DependencyUnavailable, TenantryError

__all__ = ["StackFiles", "clear_leftovers", "make_folder", "storage_error", "sync_folder", "write_atomically"]


class StackFiles:
    """Paths of one stack."""

    def __init__(self, stack: Stack) -> None:
        pulumi = stack.backend / ".pulumi"
        own = stack.backend / ".tenantry" / stack.project / stack.name
        self.meta = pulumi / "meta.yaml"
        self.checkpoint = pulumi / "stacks" / stack.project / f"{stack.name}.json"
        self.backup = self.checkpoint.with_name(f"{stack.name}.json.bak")
        self.history = pulumi / "history" / stack.project / stack.name
        self.locks = pulumi / "locks" / "organization" / stack.project / stack.name
        self.settings = stack.backend / "settings" / stack.project / f"Pulumi.{stack.name}.yaml"
        self.journal = own / "journal.jsonl"
        self.lock = own / "lock"
        self.finished = own / "finished.json"
        self.marker = own / "cli.json"
        self.backups = pulumi / "backups" / stack.project / stack.name
        self._own = own
        self._folders = (self.history, self.backups)

    def clear_leftovers(self) -> None:
        """Remove what killed runs left half written. Only for who holds the stack."""
        for file in (self.checkpoint, self.settings, self.finished, self.marker):
            clear_leftovers(file)
        # Of locks, too: they would keep the folder of a stack that is gone.
        _remove_all(self.locks, ".*.json.*")

    def remove(self) -> None:
        """Delete every file of the stack but its locks, which their holder takes away. May be repeated."""
        self.clear_leftovers()
        try:
            for file in (self.checkpoint, self.backup, self.settings):
                file.unlink(missing_ok=True)
            for folder in self._folders:
                if folder.exists():
                    shutil.rmtree(folder)
            # Our own lock says which Pulumi lock is ours: without it, a kill before that one goes leaves it for good.
            for path in self._own.glob("*"):
                if path != self.lock:
                    path.unlink() if path.is_file() else shutil.rmtree(path)
        except OSError as error:
            raise storage_error(error, Path(error.filename or self.checkpoint)) from error

    def remove_lock(self) -> None:
        """Delete the lock of a stack that is gone, while it is held: who waits for it sees that it is another one."""
        self.lock.unlink(missing_ok=True)
        with suppress(OSError):
            self._own.rmdir()


def make_folder(path: Path) -> None:
    """The folder and its parents, 0700 where they are new."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def write_atomically(path: Path, text: bytes) -> None:
    """Replace a file by a whole new one, durable when this returns. Raises DependencyUnavailable when it cannot."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        make_folder(path.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error


def clear_leftovers(path: Path) -> None:
    """Remove what writers of this file that were killed left beside it: whole texts that nobody reads, and that carry
    what a search for traces finds. Only for who alone may write the file now. Raises DependencyUnavailable."""
    _remove_all(path.parent, f".{glob.escape(path.name)}.*")


def _remove_all(folder: Path, pattern: str) -> None:
    try:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_error(error: OSError, path: Path) -> TenantryError:
    """What an operating system error on a state file means, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DependencyUnavailable(
            "the disk is full: the state cannot be written",
            where=str(path),
            hint="free some space and run the same command again; the journal knows what was begun",
        )
    return DependencyUnavailable(
        f"the state cannot be read or written: {error.strerror}",
        where=str(path),
        hint="check that the folder exists and belongs to you",
    )
