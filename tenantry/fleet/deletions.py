"""Deletions under way, and the tombstones of tenants that are gone: one file each, beside the tenants' records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from tenantry.engine.storage import make_folder, storage_error, write_atomically
from tenantry.tenancy.deletion import Deletion, Tombstone
from tenantry.tenancy.errors import Locked, StateCorrupt

__all__ = ["Deletions"]

_Kept = TypeVar("_Kept", bound=BaseModel)


class Deletions:
    """folder: the cell's. Files are replaced whole; whoever works on a deletion holds its lock."""

    def __init__(self, folder: Path) -> None:
        self._open = folder / "deletions"
        self._tombstones = folder / "tombstones"

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold one tenant's deletion. Raises Locked at once when somebody else does."""
        # Named for the tenant alone: the lock's file carries no incarnation and may stay.
        lock = FileLock(self._open / f".{name}.lock", timeout=0, mode=0o600)
        try:
            make_folder(self._open)
            lock.acquire()
        except Timeout:
            raise Locked(
                f"another command or the operator is at work on the deletion of {name}",
                where=name,
                hint="wait for it; `tenantry tenant delete` then goes on from where it stopped",
            ) from None
        except OSError as error:
            raise storage_error(error, self._open) from error
        try:
            yield
        finally:
            lock.release()

    def get(self, name: str) -> Deletion | None:
        """The deletion of the tenant that has this name now."""
        return next((one for one in self.all() if one.name == name), None)

    def all(self) -> tuple[Deletion, ...]:
        return tuple(_read(path, Deletion) for path in _files(self._open))

    def put(self, deletion: Deletion) -> None:
        _write(self._open / f"{deletion.namespace}.json", deletion)

    def close(self, deletion: Deletion) -> None:
        """Forget a deletion that is finished or cancelled; absent is success."""
        (self._open / f"{deletion.namespace}.json").unlink(missing_ok=True)

    def bury(self, tombstone: Tombstone) -> None:
        _write(self._tombstones / f"{tombstone.namespace}.json", tombstone)

    def tombstone(self, namespace: str) -> Tombstone | None:
        path = self._tombstones / f"{namespace}.json"
        return _read(path, Tombstone) if path.exists() else None

    def tombstones(self, name: str | None = None) -> tuple[Tombstone, ...]:
        """All of them, or those of the lives of one name; oldest first."""
        found = (_read(path, Tombstone) for path in _files(self._tombstones))
        return tuple(sorted((one for one in found if name in (None, one.name)), key=lambda one: one.erased_at))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _write(path: Path, content: BaseModel) -> None:
    write_atomically(path, json.dumps(content.model_dump(mode="json"), indent=1, sort_keys=True).encode())


def _read(path: Path, model: type[_Kept]) -> _Kept:
    try:
        return model.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise storage_error(error, path) from error
    except ValidationError:
        raise StateCorrupt(
            f"the {model.__name__.lower()} cannot be read",
            where=str(path),
            hint="restore the file from a backup of the data folder; nothing was changed",
        ) from None
