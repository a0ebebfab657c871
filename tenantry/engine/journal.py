"""The journal: what a run is about to do, on disk before it does it.

JSON lines, one intent each, flushed to disk per wave. A run that ends in order removes it, so a journal that exists
was left by a killed run; its intents name what may exist although no checkpoint says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenantry.engine.storage import make_folder, storage_error, sync_folder

__all__ = ["Intent", "Journal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """op: create, update, replace or delete. state: the checkpoint entry that the resource will get, secrets
    encrypted; for a Kubernetes object its outputs already carry the field manager."""

    op: str
    state: Mapping[str, Any]


class Journal:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[Intent, ...]:
        """Intents of a killed run, oldest first. A line cut short by the kill was never acted upon: it is skipped."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise storage_error(error, self._path) from error
        intents = []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            intents.append(Intent(op=entry["op"], state=entry["state"]))
        return tuple(intents)

    def add(self, intents: Iterable[Intent]) -> None:
        """Append, durable when this returns."""
        lines = [json.dumps({"op": one.op, "state": one.state}, separators=(",", ":")) for one in intents]
        if not lines:
            return
        try:
            make_folder(self._path.parent)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                # The leading newline ends a line that a killed run may have left unfinished.
                file.write("\n" + "\n".join(lines) + "\n")
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._path.parent)
        except OSError as error:
            raise storage_error(error, self._path) from error

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)
