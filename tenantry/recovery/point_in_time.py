"""One tenant's schema as it was at a moment: a physical backup of the whole server, brought there on a scratch server.

All of the binary log is replayed, not one schema's: statements that define tables name their schema only sometimes, and
a filter by schema would drop those. The log is read through the server, which alone can decrypt it.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from tenantry.backup.database import CLIENT
from tenantry.backup.stopping import Stopped
from tenantry.recovery.physical import PhysicalBackup, PhysicalBackups, last_words
from tenantry.recovery.scratch_server import DumpReader, ScratchServer, scratch_server
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput, RunFailed, Unsupported
from tenantry.tenancy.spec import DatabaseTier, TenantSpec

__all__ = ["check_moment", "replayed"]

_REPLAY_S = 6 * 3600
_LOOK_S = 0.5


def check_moment(spec: TenantSpec, at: datetime) -> PhysicalBackup:
    """The physical backup to begin from. spec: the tenant that was on the server then. Raises InvalidInput for a moment
    that has not been yet, Unsupported when there is no backup before it, or none at all."""
    if spec.database.tier is not DatabaseTier.SHARED:
        raise Unsupported(
            f"tenant {spec.name} has a database server of its own, of which no physical backups are kept",
            where="spec.database.tier",
            hint="restore one of its backups (`tenantry tenant backups`); Amazon keeps moments of its instances itself",
        )
    if at > datetime.now(UTC) - timedelta(seconds=1):
        raise InvalidInput(
            f"{at:%Y-%m-%d %H:%M:%S UTC} has not been yet", source="--at", hint="give a moment of the past, in UTC"
        )
    return PhysicalBackups(spec.cell).before(at)


@contextmanager
def replayed(
    spec: TenantSpec,
    *,
    at: datetime,
    progress: Callable[[str], None] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[DumpReader]:
    """A dump of the tenant's schema with everything that was committed before this second, and nothing after. The
    server runs on meanwhile; memory does not depend on the data's size. Raises RunFailed, DependencyUnavailable,
    Stopped."""
    backups = PhysicalBackups(spec.cell)
    base = check_moment(spec, at)
    progress(f"replay from the physical backup of {base.taken_at:%Y-%m-%d %H:%M:%S UTC}")
    with scratch_server(base, backups.options, stopping=stopping) as server:
        _replay(server, backups, base, at, stopping)
        with server.dump(spec.names.schema) as dump:
            yield dump


def _replay(
    server: ScratchServer,
    backups: PhysicalBackups,
    base: PhysicalBackup,
    at: datetime,
    stopping: Callable[[], bool],
) -> None:
    with (
        backups.client() as handle,
        tempfile.TemporaryFile() as complaints,
        server.program(CLIENT, stdin=subprocess.PIPE) as (applying, said),
    ):
        assert applying.stdin is not None
        reading = subprocess.Popen(
            [
                "mariadb-binlog",
                f"--defaults-file=/proc/self/fd/{handle}",
                "--read-from-remote-server",
                "--to-last-log",
                "--verify-binlog-checksum",
                f"--start-position={base.position}",
                f"--stop-datetime={at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                base.log,
            ],
            stdin=subprocess.DEVNULL,
            stdout=applying.stdin,
            stderr=complaints,
            pass_fds=(handle,),
            env=backups.options.environment | {"VAULT_TOKEN": ""},
        )
        try:
            applying.stdin.close()  # the reader alone holds it now, so that its end is the applier's
            applying.stdin = None
            _await((reading, applying), stopping)
        finally:
            if reading.poll() is None:
                reading.kill()
            reading.wait()
        if applying.returncode != 0:
            raise RunFailed(
                f"the binary log cannot be replayed: {said()}", hint="choose an earlier moment, or a backup"
            )
        if reading.returncode != 0:
            raise DependencyUnavailable(
                f"the binary log cannot be read: {last_words(complaints)}",
                where=base.log,
                hint="the server may have let go of it: choose a moment after a later physical backup, or a backup",
            )


def _await(processes: tuple[subprocess.Popen[Any], ...], stopping: Callable[[], bool]) -> None:
    """Until both have ended: where one fails the other ends too, its stream being closed."""
    deadline = time.monotonic() + _REPLAY_S
    while any(process.poll() is None for process in processes):
        if stopping():
            raise Stopped("stopped while the binary log was replayed; the next attempt begins anew")
        if time.monotonic() > deadline:
            raise RunFailed(f"the binary log was not replayed within {_REPLAY_S // 3600} h")
        time.sleep(_LOOK_S)
