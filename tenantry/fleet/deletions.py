"""Deletions under way, whose journal is one of the tenant's operations, and the tombstones of tenants that are gone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tenantry.engine.storage import clear_leftovers, storage_error, write_atomically
from tenantry.fleet.operations import Operations, exclusive
from tenantry.tenancy.deletion import Deletion, Tombstone
from tenantry.tenancy.errors import Conflict, StateCorrupt
from tenantry.tenancy.naming import tenant_of_namespace

__all__ = ["KIND", "Deletions"]

KIND = "deprovision"
"""The journal's name among the tenant's operations."""

_Kept = TypeVar("_Kept", bound=BaseModel)


class Deletions:
    """folder: the cell's. Files are replaced whole; whoever works on a deletion holds its lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = folder / "operations"
        self._tombstones = folder / "tombstones"

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold one tenant's deletion. Raises Locked at once when somebody else does."""
        hint = "wait for it; `tenantry tenant delete` then goes on from where it stopped"
        with exclusive(self._folder, name, doing="deletion", hint=hint):
            yield

    def get(self, name: str) -> Deletion | None:
        """The deletion of the tenant that has this name now."""
        # By the folder's name first: another tenant's damaged journal is not this one's trouble.
        paths = self._journals(lambda namespace: _is_of(namespace, name))
        return next((_read(path, Deletion) for path in paths), None)

    def refuse(self, name: str) -> None:
        """Raises Conflict while the tenant that has this name is being deleted."""
        deletion = self.get(name)
        if deletion is not None and deletion.cancelled_at is None:
            raise Conflict(
                f"tenant {name} is being deleted",
                where=name,
                hint=f"`tenantry tenant undelete {name}` brings it back"
                if deletion.erasing_since is None
                else f"its data is being erased: finish with `tenantry tenant delete {name}`, then the name is free",
            )

    def all(self) -> tuple[Deletion, ...]:
        return tuple(_read(path, Deletion) for path in self._journals())

    def names(self) -> frozenset[str]:
        """Whose deletion is under way, by the folders' names: a damaged journal is its own tenant's trouble alone."""
        found = (tenant_of_namespace(path.parent.name) for path in self._journals())
        return frozenset(whose[0] for whose in found if whose is not None)

    def _journals(self, of: Callable[[str], bool] = lambda _: True) -> list[Path]:
        """of: which namespaces are meant."""
        try:
            with os.scandir(self._open) as entries:  # a look at one of a thousand tenants asks this several times
                found = sorted(entry.name for entry in entries if of(entry.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise storage_error(error, self._open) from error
        paths = (self._open / namespace / f"{KIND}.json" for namespace in found)
        return [path for path in paths if path.exists()]

    def put(self, deletion: Deletion) -> None:
        self._operations(deletion).put(KIND, deletion.model_dump(mode="json"))

    def close(self, deletion: Deletion) -> None:
        """Forget a deletion that was cancelled; absent is success."""
        self._operations(deletion).close(KIND)

    def forget(self, deletion: Deletion) -> None:
        """Forget every journal of a tenant that is gone, this one last."""
        self._operations(deletion).forget(but=KIND)
        self._operations(deletion).forget()

    def _operations(self, deletion: Deletion) -> Operations:
        return Operations(self._folder, deletion.namespace)

    def bury(self, tombstone: Tombstone) -> None:
        _write(self._tombstones / f"{tombstone.namespace}.json", tombstone)

    def tombstone(self, namespace: str) -> Tombstone | None:
        path = self._tombstones / f"{namespace}.json"
        return _read(path, Tombstone) if path.exists() else None

    def tombstones(self, name: str | None = None) -> tuple[Tombstone, ...]:
        """All of them, or those of the lives of one name; oldest first."""
        paths = self._tombstones.glob("*.json")
        found = (_read(path, Tombstone) for path in paths if name is None or _is_of(path.stem, name))
        return tuple(sorted(found, key=lambda one: one.erased_at))


def _is_of(namespace: str, name: str) -> bool:
    if not namespace.startswith(f"t-{name}-"):
        return False
    whose = tenant_of_namespace(namespace)
    return whose is not None and whose[0] == name


def _write(path: Path, content: BaseModel) -> None:
    clear_leftovers(path)
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
