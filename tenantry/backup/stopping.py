"""Long reading and writing that can be asked to stop between any two pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenantry.backup.database import Readable
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["StoppableSink", "StoppableSource", "Stopped"]


class Stopped(DependencyUnavailable):
    """The work was asked to stop; the next call goes on with it."""

    code = "Stopped"


class StoppableSource:
    """stopping: asked before each piece; when it says so, Stopped is raised."""

    def __init__(self, source: Readable, stopping: Callable[[], bool]) -> None:
        self._source = source
        self._stopping = stopping

    def read(self, size: int, /) -> bytes:
        if self._stopping():
            raise Stopped("stopped while rows were brought back; the next attempt begins anew")
        return self._source.read(size)


class StoppableSink:
    """The same for what is written."""

    def __init__(self, target: Any, stopping: Callable[[], bool]) -> None:
        self._target = target
        self._stopping = stopping

    def write(self, data: Any, /) -> int:
        if self._stopping():
            raise Stopped("stopped while the backup was written; the next attempt begins anew")
        return int(self._target.write(data))
