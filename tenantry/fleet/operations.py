"""The journals of long operations on tenants: one small JSON file an operation, beside the tenants' records.

An operation that takes longer than a process may live (a release, a restore, a backup) writes here how far it is
*before* each step, and reads it when it is called again. Never a Tenant's status: people can edit that.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tenantry.engine.locking import alone
from tenantry.engine.storage import clear_leftovers, storage_error, write_atomically
from tenantry.tenancy.errors import StateCorrupt

__all__ = ["ORIGIN", "Operations", "exclusive", "under_way"]

ORIGIN = "origin"
"""Kind of the journal of a tenant that begins from another's backup."""
_CHANGING = ("deprovision", ORIGIN, "release", "restore")
_KIND = re.compile(r"[a-z][a-z-]{0,30}")
_Journal = TypeVar("_Journal", bound=BaseModel)


def under_way(journal: Mapping[str, Any] | None) -> bool:
    """Whether an operation has begun and has not ended: one that waits for its time has begun no step, and the journal
    of one that has ended may stay."""
    return journal is not None and journal.get("ended_at") is None and bool(journal.get("begun", True))


@contextmanager
def exclusive(folder: Path, name: str, *, doing: str, hint: str) -> Iterator[None]:
    """Hold one tenant for one sort of work. folder: the cell's. Raises Locked at once when somebody else does."""
    path = folder / "operations" / f".{name}.{doing}.lock"
    with alone(path, what=f"the {doing} of {name}", hint=hint):
        yield


class Operations:
    """The journals of one life of one tenant. folder: the cell's. namespace: the tenant's, which carries its
    incarnation, so that a later tenant of the same name finds nothing here."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self._folder = folder / "operations" / namespace

    def changing(self) -> str | None:
        """The kind of what changes the tenant on purpose at present, so that it is otherwise than recorded; None when
        nothing does. Raises StateCorrupt."""
        return next((kind for kind in _CHANGING if under_way(self.get(kind))), None)

    def get(self, kind: str) -> dict[str, Any] | None:
        """What was last put, None when nothing is under way. Raises StateCorrupt for a file that is not ours."""
        path = self._path(kind)
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(error, path) from error
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise self._unreadable(kind)
        return content

    def load(self, kind: str, model: type[_Journal]) -> _Journal | None:
        """The same as a model. Raises StateCorrupt also for one that a newer Tenantry has written."""
        content = self.get(kind)
        try:
            return None if content is None else model.model_validate(content)
        except ValidationError:
            raise self._unreadable(kind) from None

    def put(self, kind: str, content: Mapping[str, Any]) -> None:
        """Replace the journal, durable when this returns; one that already says so is left alone. No secrets."""
        if self.get(kind) != content:
            clear_leftovers(self._path(kind))  # a kind of work on a tenant has one writer at a time
            text = json.dumps(content, indent=1, sort_keys=True)
            write_atomically(self._path(kind), text.encode())

    def close(self, kind: str) -> None:
        """The operation is over; absent is success."""
        self._path(kind).unlink(missing_ok=True)

    def forget(self, *, but: str | None = None) -> None:
        """Every journal of this life of the tenant, except one; may be repeated."""
        if but is not None and self._path(but).exists():
            for path in self._folder.iterdir():
                if path != self._path(but):
                    path.unlink()
        elif self._folder.exists():
            shutil.rmtree(self._folder)

    def _unreadable(self, kind: str) -> StateCorrupt:
        return StateCorrupt(
            f"the journal of the operation {kind} cannot be read",
            where=str(self._path(kind)),
            hint="restore the file from a backup of the data folder; nothing was changed",
        )

    def _path(self, kind: str) -> Path:
        if not _KIND.fullmatch(kind):
            raise ValueError(f"{kind!r} is no kind of operation")
        return self._folder / f"{kind}.json"
