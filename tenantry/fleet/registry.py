"""Which tenants a cell has: one record a tenant, written before its stack is first run.

A record fixes what must not change by itself afterwards: the incarnation, the release and the template version.
It holds the tenant file as it was last applied, and no credential.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tenantry.engine.storage import clear_leftovers, storage_error, write_atomically
from tenantry.tenancy.errors import Conflict, Locked, StateCorrupt
from tenantry.tenancy.release import Version
from tenantry.tenancy.room import Volume
from tenantry.tenancy.spec import Hold, Installed

__all__ = ["Record", "Registry"]

LOCK_WAIT_S = 20.0
_SUFFIX = ".json"


class Record(BaseModel):
    """One tenant of the cell. manifest: its tenant file's text. finished_at: end of the last successful run.

    uid: of the Tenant object that it belongs to; None for a tenant without one. wish: what the last successful run was
    asked for (`resolving.wish`); "" where nobody noted it. activity: what of its workload that run left standing.
    resources: how many resources that run left in its stack. database_tier: where its data lies.
    hold: what a release under way keeps from running. last_good: the version with which a run last reached its goal; a
    release under way may run another. room: what runs have given it (`room.room_of`); while one is under way the larger
    of before and after. volumes: those that stand.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    incarnation: str
    managed_by: str
    created_at: datetime
    finished_at: datetime | None = None
    source: str
    manifest: str
    hosts: tuple[str, ...]
    release: str
    template_version: int
    environment: str
    plan: str
    namespace: str
    uid: str | None = None
    wish: str = ""
    activity: str = "running"
    resources: int = 0
    database_tier: str | None = None
    hold: Hold = Hold.NONE
    last_good: Version | None = None
    room: dict[str, int] = Field(default_factory=dict)
    volumes: dict[str, Volume] = Field(default_factory=dict)

    @property
    def running(self) -> Version:
        """What its stack was last made of."""
        return Version(release=self.release, template_version=self.template_version)

    @property
    def installed(self) -> Installed:
        return self.running.at(self.hold)


class Registry:
    """The records under one folder. Writers hold one file lock; readers need none, files are replaced whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[tuple[int, int], Record]] = {}
        """Records by name, with the (inode, time) of the file that they were read from: a replaced one has another."""

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the registry for a check followed by a write, so that two drivers cannot claim one host."""
        lock = FileLock(self._folder / ".lock", timeout=LOCK_WAIT_S, mode=0o600)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock.acquire()
        except Timeout as error:
            raise Locked(
                "another tenantry command holds the list of tenants",
                where=str(self._folder),
                hint="wait for it to end, then run this command again",
            ) from error
        except OSError as error:
            raise storage_error(error, self._folder) from error
        try:
            yield
        finally:
            lock.release()

    def get(self, name: str) -> Record | None:
        return self._current(name, self._path(name).stat)

    def all(self) -> tuple[Record, ...]:
        """Every record, by name."""
        try:
            with os.scandir(self._folder) as entries:  # each look at one of a thousand tenants comes by here
                found = [
                    self._current(entry.name.removesuffix(_SUFFIX), entry.stat)
                    for entry in entries
                    if entry.name.endswith(_SUFFIX)
                ]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise storage_error(error, self._folder) from error
        return tuple(sorted((record for record in found if record is not None), key=lambda one: one.name))

    def _current(self, name: str, stat: Callable[[], os.stat_result]) -> Record | None:
        """The record as its file has it now, read where it is not known yet. stat: of the file."""
        try:
            seen = stat()
            stamp = (seen.st_ino, seen.st_mtime_ns)
            known = self._read.get(name)
            if known is not None and known[0] == stamp:
                return known[1]
            text = self._path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            self._read.pop(name, None)
            return None
        except OSError as error:
            raise storage_error(error, self._path(name)) from error
        try:
            record = Record.model_validate_json(text)
        except ValidationError as error:
            raise StateCorrupt(
                f"the record of tenant {name} cannot be read",
                where=str(self._path(name)),
                hint="restore the file from a backup of the data folder, or apply the tenant file again after "
                "moving it away; the incarnation in the namespace's label must stay the same",
            ) from error
        self._read[name] = (stamp, record)
        return record

    def taken_hosts(self) -> Mapping[str, str]:
        """Host name to the tenant that has it."""
        return {host: record.name for record in self.all() for host in record.hosts}

    def claim(self, record: Record) -> None:
        """Write the record; call inside `exclusive`. Refuses a host that another tenant took meanwhile."""
        taken = self.taken_hosts()
        for host in record.hosts:
            if taken.get(host, record.name) != record.name:
                raise Conflict(
                    f"host {host} belongs to tenant {taken[host]}",
                    where=record.source,
                    hint="give the tenant another host name",
                )
        self._write(record)

    def finished(self, name: str, *, activity: str, resources: int, room: Mapping[str, int], wish: str = "") -> None:
        """Note that a run of the tenant's stack reached its goal now: what it was asked for, what it left standing, and
        the room that it gave."""
        with self.exclusive():
            record = self.get(name)
            if record is not None:
                noted = {
                    "finished_at": datetime.now(UTC),
                    "wish": wish,
                    "activity": activity,
                    "resources": resources,
                    "last_good": record.running if record.hold is Hold.NONE else record.last_good,
                    "room": dict(room),
                }
                self._write(record.model_copy(update=noted))

    def forget(self, name: str) -> None:
        """Remove the record of a destroyed tenant; its incarnation is never used again."""
        with self.exclusive():
            clear_leftovers(self._path(name))
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    def _write(self, record: Record) -> None:
        clear_leftovers(self._path(record.name))
        text = json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True)
        write_atomically(self._path(record.name), text.encode())
