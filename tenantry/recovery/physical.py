"""Physical backups of the cell's shared database server: the base from which a tenant is brought to a moment.

Each is a folder, encrypted like the server's own files, and whole once it has its final name. They are taken on the
machine of the server, by an operator that runs there or by `tenantry cell physical-backup`.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from tenantry.backup.database import client_options
from tenantry.engine.locking import alone
from tenantry.engine.storage import make_folder, storage_error
from tenantry.fleet import Fleet
from tenantry.openbao import openbao
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import DependencyUnavailable, RunFailed, StateCorrupt, Unsupported
from tenantry.tenancy.physical_standing import PhysicalStanding
from tenantry_components.providers.credential import authority
from tenantry_components.providers.mariadb_server import COPIER

__all__ = ["PhysicalBackup", "PhysicalBackups", "ServerOptions", "last_words", "physical_standing", "run_program"]

_TIME = "%Y%m%dT%H%M%SZ"
_PART = ".part"
_BACKUP_S = 4 * 3600
_KEYS_LOGIN = "hashicorp_key_management_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalBackup:
    """taken_at: everything before this moment is in it. log, position: where the binary log goes on from it."""

    folder: Path
    taken_at: datetime
    log: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The server's option file. owner: who its files belong to, and so runs it."""

    settings: Mapping[str, str | None]
    owner: int
    group: int

    @property
    def data(self) -> str:
        return str(self.settings["datadir"])

    @property
    def environment(self) -> dict[str, str]:
        """For programs that read the server's files: the token for its keys, which no argument and no file of ours
        holds."""
        token = self.settings.get(_KEYS_LOGIN)
        return {
            "PATH": os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            **({"VAULT_TOKEN": token} if token else {}),
        }

    @classmethod
    def read(cls, path: Path) -> ServerOptions:
        """Raises DependencyUnavailable when it is not there or not for us to read, StateCorrupt for another file."""
        parser = configparser.ConfigParser(allow_no_value=True, strict=False, interpolation=None)
        try:
            found = path.stat()
            parser.read_string(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DependencyUnavailable(
                f"the database server's option file cannot be read ({error.strerror})",
                where=str(path),
                hint="a moment is restored on the server's own machine, as its user or as root",
            ) from None
        except configparser.Error:
            parser.clear()
        settings: dict[str, str | None] = {}
        for section in ("server", "mysqld", "mariadb", "mariadbd"):
            if parser.has_section(section):
                settings |= {
                    key.replace("-", "_").removeprefix("loose_"): value for key, value in parser.items(section)
                }
        if not settings.get("datadir"):
            raise StateCorrupt("it is no option file of a MariaDB server: it names no datadir", where=str(path))
        return cls(settings=settings, owner=found.st_uid, group=found.st_gid)


class PhysicalBackups:
    """Those of a cell. Raises Unsupported for a cell that has none."""

    def __init__(self, cell: Cell) -> None:
        physical = cell.spec.backups.physical
        if physical is None:
            raise Unsupported(
                f"cell {cell.metadata.name} keeps no physical backups of its database server",
                where="spec.backups.physical",
                hint="name their folder and the server's option file in the cell file (docs/backups.md); without them "
                "a tenant can be restored from its backups only",
            )
        self._cell = cell
        self.folder = Path(physical.folder)
        self._options = Path(physical.options)

    @property
    def options(self) -> ServerOptions:
        return ServerOptions.read(self._options)

    def all(self) -> tuple[PhysicalBackup, ...]:
        """Whole ones, oldest first."""
        found = (_read(path) for path in sorted(self.folder.glob("*Z")))
        return tuple(one for one in found if one is not None)

    def take(self) -> PhysicalBackup:
        """Take one; what interrupted ones left is removed. Raises RunFailed, DependencyUnavailable, or Locked while
        another is being taken."""
        options = self.options
        make_folder(self.folder)
        if os.geteuid() == 0:  # scratch servers run in it, as the server's user
            os.chown(self.folder, options.owner, options.group)
        with alone(self.folder / ".lock", what="the physical backup", hint="wait for it"):
            return self._take(options)

    def _take(self, options: ServerOptions) -> PhysicalBackup:
        for left in self.folder.glob(f"*{_PART}"):
            shutil.rmtree(left, ignore_errors=True)
        target = self.folder / f"{datetime.now(UTC).strftime(_TIME)}{_PART}"
        with self.client() as handle:
            command = [
                "mariadb-backup",
                f"--defaults-file=/proc/self/fd/{handle}",
                "--backup",
                f"--target-dir={target}",
                f"--datadir={options.data}",
            ]
            try:
                run_program(command, environment=options.environment, seconds=_BACKUP_S, pass_fds=(handle,))
            except BaseException:
                shutil.rmtree(target, ignore_errors=True)
                raise
        final = self.folder / datetime.now(UTC).strftime(_TIME)
        try:
            target.chmod(0o700)
            target.rename(final)
        except OSError as error:
            raise storage_error(error, final) from error
        taken = _read(final)
        if taken is None:
            raise RunFailed(
                "the physical backup does not say where the binary log goes on",
                where=str(final),
                hint="the server has to write one: log_bin",
            )
        return taken

    def prune(self, now: datetime) -> tuple[PhysicalBackup, ...]:
        """Remove those older than the cell keeps them; the newest goes too, so that the certificate of a deleted tenant
        stays true."""
        days = timedelta(days=self._cell.spec.copies.physical_backup_days)
        old = tuple(one for one in self.all() if now - one.taken_at > days)
        for one in old:
            shutil.rmtree(one.folder)
        return old

    def before(self, moment: datetime) -> PhysicalBackup:
        """The last one that was taken before it. Raises Unsupported when there is none."""
        known = self.all()
        fitting = [one for one in known if one.taken_at <= moment]
        if not fitting:
            since = f"the first is of {known[0].taken_at:%Y-%m-%d %H:%M:%S UTC}" if known else "there is none"
            raise Unsupported(
                f"no physical backup is older than {moment:%Y-%m-%d %H:%M:%S UTC}: {since}",
                where=str(self.folder),
                hint="choose a later moment, or one of the tenant's backups; `tenantry cell physical-backup` takes one",
            )
        return fitting[-1]

    @contextmanager
    def client(self) -> Iterator[int]:
        """Options of a client of the server that may copy it and read its binary log."""
        database, keys = self._cell.spec.database, self._cell.spec.openbao
        path = f"{keys.database_mount}/static-creds/{COPIER}"
        login = openbao().read(path)
        if login is None:
            raise DependencyUnavailable(
                "OpenBao has no login that may copy the database server",
                where=path,
                hint="set up the cell again: `tenantry cell up`",
            )
        with tempfile.NamedTemporaryFile(prefix="tenantry-ca-", suffix=".pem") as pem:
            fields = {
                "protocol": "tcp",
                "host": database.host,
                "port": str(database.port),
                "user": str(login["username"]),
                "password": str(login["password"]),
            }
            if (known := authority(keys.kv_mount)) is not None:
                pem.write(known.encode())
                pem.flush()
                fields["ssl-ca"] = pem.name
            with client_options(fields, "ssl", "ssl-verify-server-cert") as handle:
                yield handle


def physical_standing(fleet: Fleet) -> PhysicalStanding | None:
    """None for a cell that keeps none, or whose database server is on another machine."""
    physical = fleet.cell.spec.backups.physical
    if physical is None or not os.access(physical.options, os.F_OK):
        return None
    made = [one.finished_at for one in fleet.registry.all() if one.finished_at is not None]
    return PhysicalStanding(
        taken=tuple(one.taken_at for one in PhysicalBackups(fleet.cell).all()),
        needed_since=min(made, default=None),
        every=timedelta(hours=physical.every_hours),
    )


def run_program(
    command: list[str], *, environment: Mapping[str, str], seconds: float, pass_fds: tuple[int, ...] = ()
) -> None:
    """Run a program of MariaDB's to its end. Raises RunFailed with its own last words."""
    program = shutil.which(command[0], path=environment.get("PATH"))
    if program is None:
        raise DependencyUnavailable(
            f"{command[0]} is not on this machine", hint="on Debian: apt-get install mariadb-backup mariadb-server"
        )
    # It never goes on without us, beside the next.
    with_us = ("setpriv", "--pdeathsig=KILL") if shutil.which("setpriv") else ()
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                [*with_us, program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(environment),
                pass_fds=pass_fds,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RunFailed(f"{command[0]} did not end within {seconds:.0f} s") from None
        if done.returncode != 0:
            raise RunFailed(f"{command[0]} failed: {last_words(output)}", hint="nothing of the server was changed")


def last_words(output: IO[bytes]) -> str:
    """The last line that speaks of an error, else the last."""
    output.seek(max(0, output.seek(0, os.SEEK_END) - 4000))
    lines = output.read().decode("utf-8", "replace").strip().splitlines()
    return next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "it said nothing")[:300]


def _read(folder: Path) -> PhysicalBackup | None:
    """None for a folder that is not one of ours."""
    try:
        taken_at = datetime.strptime(folder.name, _TIME).replace(tzinfo=UTC)
        log, position = (folder / "xtrabackup_binlog_info").read_text(encoding="ascii").split()[:2]
    except (ValueError, OSError):
        return None
    return PhysicalBackup(folder=folder, taken_at=taken_at, log=log, position=int(position))
