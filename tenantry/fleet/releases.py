"""Releases of tenants: the journal of each, which is one of the tenant's operations.

While a release is under way its journal is called `release`, which holds back all other work on the tenant. One that
is only asked for, or has ended, is kept under another name: a failed release is not begun again by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenantry.fleet.operations import Operations, exclusive
from tenantry.tenancy.release import KEPT, KIND, Release

__all__ = ["Releases"]


class Releases:
    """folder: the cell's. Whoever works on a release, or runs the stack of a tenant, holds its lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold one tenant's release. Raises Locked at once when somebody else does."""
        hint = f"wait for it; `tenantry tenant upgrade {name}` then goes on from where it stopped"
        with exclusive(self._folder, name, doing="release", hint=hint):
            yield

    def get(self, namespace: str) -> Release | None:
        """The last release of a tenant: asked for, under way or ended. Raises StateCorrupt."""
        operations = Operations(self._folder, namespace)
        for kind in (KIND, KEPT):
            release = operations.load(kind, Release)
            if release is not None:
                return release
        return None

    def put(self, release: Release) -> None:
        """Durable when this returns. A kill between the two leaves both, of which the one under way counts."""
        now, other = (KIND, KEPT) if release.under_way else (KEPT, KIND)
        operations = Operations(self._folder, release.namespace)
        operations.put(now, release.model_dump(mode="json"))
        operations.close(other)

    def close(self, release: Release) -> None:
        """Forget a release that was never begun or has ended; absent is success."""
        operations = Operations(self._folder, release.namespace)
        operations.close(KIND)
        operations.close(KEPT)
