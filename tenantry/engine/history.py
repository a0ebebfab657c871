"""History: what each run of a stack did, with a copy of its checkpoint, in the files that both engines write."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenantry.engine.interface import Op, Stack
from tenantry.engine.storage import StackFiles, storage_error, write_atomically
from tenantry.tenancy.errors import InvalidInput, StateCorrupt

__all__ = ["Entry", "deployment_at", "entry_of", "read_history", "write_history"]

_ENTRY, _CHECKPOINT = ".history.json", ".checkpoint.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run. version: 1 for the oldest that is kept. by: `tenantry`, or as the CLI was called (`cli`,
    `auto.local`). result: `succeeded`, `failed` or `in-progress`. changes: how many resources, by operation."""

    version: int
    kind: str
    by: str
    result: str
    started: datetime
    ended: datetime
    message: str
    changes: Mapping[str, int]


def entry_of(version: int, raw: Mapping[str, Any]) -> Entry:
    """An entry in the CLI's words. Times are seconds since the epoch, or RFC 3339 from `pulumi stack history`."""
    environment = raw.get("environment") or {}
    return Entry(
        version=version,
        kind=str(raw.get("kind")),
        by=str(environment.get("exec.kind") or "cli"),
        result=str(raw.get("result")),
        started=_time(raw.get("startTime")),
        ended=_time(raw.get("endTime") or raw.get("startTime")),
        message=str(raw.get("message") or ""),
        changes={str(op): int(count) for op, count in (raw.get("resourceChanges") or {}).items()},
    )


def read_history(files: StackFiles) -> tuple[Entry, ...]:
    """Every run that is kept, the oldest first. Raises StateCorrupt for an entry that cannot be read."""
    return tuple(entry_of(version, _json(path)) for version, path in enumerate(_entries(files), 1))


def deployment_at(files: StackFiles, version: int) -> dict[str, Any]:
    """The checkpoint that the run of that version left."""
    entries = _entries(files)
    if not 1 <= version <= len(entries):
        raise InvalidInput(
            f"the stack's history has no version {version}",
            source=str(files.history),
            hint=f"it has 1 to {len(entries)}: see `tenantry state history`" if entries else "no run is kept there",
        )
    entry = entries[version - 1]
    base = entry.name.partition(_ENTRY)[0]
    return _json(
        next(iter(sorted(files.history.glob(f"{base}{_CHECKPOINT}*"))), files.history / f"{base}{_CHECKPOINT}")
    )


def write_history(
    files: StackFiles,
    stack: Stack,
    *,
    kind: str,
    started: float,
    counts: Mapping[Op, int],
    checkpoint: bytes,
    succeeded: bool,
) -> None:
    """One run in Pulumi's history: what it did, and a copy of the checkpoint. started: seconds since the epoch."""
    base = f"{stack.name}-{time.time_ns()}"
    entry = {
        "kind": kind,
        "startTime": int(started),
        "message": "",
        "environment": {"exec.kind": "tenantry"},
        "config": {},
        "result": "succeeded" if succeeded else "failed",
        "endTime": int(time.time()),
        "resourceChanges": {op.value: count for op, count in counts.items() if count},
    }
    # The copy first: an entry without one could not be gone back to.
    write_atomically(files.history / f"{base}{_CHECKPOINT}", checkpoint)
    write_atomically(files.history / f"{base}{_ENTRY}", json.dumps(entry, indent=4).encode())


def _entries(files: StackFiles) -> list[Path]:
    """By the time in their names; the CLI packs them where it was told to."""
    found = [path for pattern in (f"*{_ENTRY}", f"*{_ENTRY}.gz") for path in files.history.glob(pattern)]
    return sorted(found, key=lambda path: (path.name.partition(_ENTRY)[0].rpartition("-")[2], path.name))


def _json(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
        content = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except OSError as error:
        raise storage_error(error, path) from error
    except (ValueError, EOFError):
        content = None
    if not isinstance(content, dict):
        raise StateCorrupt(
            "an entry of the stack's history cannot be read",
            where=str(path),
            hint="the state itself is another file: only this one run's record is lost; move it away",
        )
    return content


def _time(value: Any) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return datetime.fromtimestamp(float(value or 0), UTC)
