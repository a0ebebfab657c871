"""Who wrote what to the API server, from its audit log."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["Tail", "writes_of"]

_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


class Tail:
    """What is added to a log from now on, also when the log is put aside meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.open(encoding="utf-8")
        self._log.seek(0, 2)

    def lines(self) -> Iterator[str]:
        yield from self._log
        with self._path.open(encoding="utf-8") as now:
            if not os.path.samestat(os.fstat(now.fileno()), os.fstat(self._log.fileno())):
                yield from now
        self._log.close()


def writes_of(account: str, lines: Iterable[str]) -> Counter[str]:
    """Its writes, as `verb resource`. The log leaves leases and events out."""
    found: Counter[str] = Counter()
    for line in lines:
        entry = json.loads(line)
        if entry["user"]["username"] == account and entry["verb"] in _WRITES:
            about = entry.get("objectRef") or {}
            what = "/".join(one for one in (about.get("resource"), about.get("subresource")) if one)
            found[f"{entry['verb']} {what or entry['requestURI']}"] += 1
    return found
