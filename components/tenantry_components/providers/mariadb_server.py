"""MariaDB as the providers reach it: as `tenantry-provisioner`, whose password OpenBao owns and rotates.

Credentials are read from OpenBao's static role of that name (a server of a tenant's own at AWS has one of its own),
the trusted authority from kv `cell/authority` (field `pem`; absent: the system's trust store). Sessions are kept and
reused within a process; when the password has been rotated since it was read, it is read again, once.
"""

from __future__ import annotations

import functools
import queue
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pymysql
import pymysql.connections
from pymysql.constants import CR, ER

from tenantry.openbao import openbao
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, RunFailed, TenantryError
from tenantry_components.providers.credential import Login, authority

__all__ = [
    "COPIER",
    "DROP_S",
    "OBSERVER",
    "PROVISIONER",
    "MariaDbServer",
    "Session",
    "connect",
    "escape_pattern",
    "mariadb_problem",
    "quote",
    "rds_provisioner",
    "server",
    "shared_server",
]

PROVISIONER = "tenantry-provisioner"
OBSERVER = "tenantry-observer"
"""Reads tenants' schemas on the shared server, and can change nothing: what waits there decides how modules scale."""
COPIER = "tenantry-copier"
"""Copies the whole server and reads its binary log, for physical backups and what is brought back from them."""
_CONNECT_TIMEOUT_S = 5
_PATIENCE_S = 30
"""A server that hangs accepts connections, by its kernel, and never answers. Most statements of ours are small."""
DROP_S = 600
"""Dropping a schema of many GiB takes minutes; giving up on it would leave the server at work and the next run waiting
behind it. A server that is gone is noticed sooner, by the connection's end."""
_KEPT_SESSIONS = 4

_REFUSED = {
    ER.ACCESS_DENIED_ERROR,
    ER.DBACCESS_DENIED_ERROR,
    ER.TABLEACCESS_DENIED_ERROR,
    ER.SPECIFIC_ACCESS_DENIED_ERROR,
    ER.COLUMNACCESS_DENIED_ERROR,
}
_FULL = {ER.DISK_FULL, ER.RECORD_FILE_FULL}
_CROWDED = {ER.CON_COUNT_ERROR, ER.TOO_MANY_USER_CONNECTIONS, ER.USER_LIMIT_REACHED}
_GONE = {CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_CONN_HOST_ERROR, CR.CR_CONNECTION_ERROR}
_NO_SPACE_ERRNO = 28


def rds_provisioner(namespace: str) -> str:
    """OpenBao's static role of the provisioner's account on a tenant's own instance at Amazon."""
    return f"{PROVISIONER}-{namespace}"


def quote(identifier: str) -> str:
    """A name as SQL: backticks, doubled inside. Raises ValueError for NUL, which MariaDB cannot name."""
    if "\0" in identifier:
        raise ValueError("an identifier cannot hold NUL")
    return "`" + identifier.replace("`", "``") + "`"


def escape_pattern(schema: str) -> str:
    """A schema's name where GRANT expects a pattern: `_` and `%` would match other tenants' schemas."""
    return schema.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One connection, used by one thread at a time."""

    connection: pymysql.connections.Connection[Any]

    def execute(self, statement: str, arguments: Sequence[object] = ()) -> tuple[tuple[Any, ...], ...]:
        """Run one statement and give its rows. `%` in a statement with arguments is a placeholder."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, tuple(arguments) or None)
            return tuple(cursor.fetchall())


def connect(*, host: str, port: int, login: Login, patience_s: int = _PATIENCE_S) -> Session:
    """A new session over verified TLS. Raises pymysql errors; `mariadb_problem` turns them into ours.

    patience_s: how long one statement is waited for.
    """
    context = ssl.create_default_context(cadata=login.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return Session(
        connection=pymysql.connect(
            host=host,
            port=port,
            user=login.username,
            password=login.password,
            ssl=context,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=patience_s,
            write_timeout=patience_s,
        )
    )


class MariaDbServer:
    """One server, with its kept sessions. Made by `server`, one a process and address."""

    def __init__(self, *, host: str, port: int, database_mount: str, kv_mount: str, role: str, patience_s: int) -> None:
        self._host = host
        self._port = port
        self._database_mount = database_mount
        self._kv_mount = kv_mount
        self._role = role
        self._patience_s = patience_s
        self._idle: queue.LifoQueue[Session] = queue.LifoQueue(_KEPT_SESSIONS)
        self._login: Login | None = None
        self._reading = threading.Lock()

    @property
    def name(self) -> str:
        return f"MariaDB at {self._host}:{self._port}"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A live session; errors inside become tenancy errors without the statement that failed."""
        session: Session | None = None
        try:
            session = self._live()
            yield session
            self._keep(session)
            session = None
        except (pymysql.MySQLError, OSError) as error:
            raise mariadb_problem(self.name, error) from None
        finally:
            if session is not None:  # what failed in the middle is not used again
                session.connection.close()

    def _keep(self, session: Session) -> None:
        try:
            self._idle.put_nowait(session)
        except queue.Full:
            session.connection.close()

    def _live(self) -> Session:
        while True:
            try:
                session = self._idle.get_nowait()
            except queue.Empty:
                break
            try:
                session.connection.ping(reconnect=False)
            except (pymysql.MySQLError, OSError):
                continue  # closed by the server since its last use
            return session
        return self._open()

    def _open(self) -> Session:
        known = self._login
        login = known or self._read_login(known)
        try:
            return self._connect(login)
        except pymysql.OperationalError as error:
            if known is None or error.args[0] != ER.ACCESS_DENIED_ERROR:
                raise
        return self._connect(self._read_login(known))

    def _connect(self, login: Login) -> Session:
        return connect(host=self._host, port=self._port, login=login, patience_s=self._patience_s)

    def _read_login(self, known: Login | None) -> Login:
        with self._reading:  # threads that start together read once
            if self._login is not None and self._login != known:
                return self._login
            path = f"{self._database_mount}/static-creds/{self._role}"
            answer = openbao().read(path)
            if answer is None:
                raise DependencyUnavailable(
                    f"OpenBao holds no credentials for {self.name}: {path} is empty",
                    where=path,
                    hint="set up the cell first: `tenantry cell up`",
                )
            self._login = Login(
                username=str(answer["username"]),
                password=str(answer["password"]),
                authority=authority(self._kv_mount),
            )
            return self._login


def mariadb_problem(name: str, error: Exception) -> TenantryError:
    """What a driver's or socket's error means. name: "MariaDB at host:port".

    The server's own text is left out: it can quote the statement, and a statement can hold a password.
    """
    code = error.args[0] if isinstance(error, pymysql.MySQLError) and error.args else None
    if isinstance(getattr(error, "original_exception", error), ssl.SSLError):  # pymysql wraps what the socket raised
        return DependencyUnavailable(
            f"{name} shows a certificate that cannot be verified",
            where=name,
            hint="kv cell/authority must hold the authority that signed it",
        )
    if code in _REFUSED:
        return DependencyUnavailable(
            f"{name} refuses the provisioner (error {code})",
            where=name,
            hint="its account and privileges are made by `tenantry cell up`: run it again",
        )
    if code in _FULL or (code in {ER.ERROR_ON_WRITE, ER.CANT_CREATE_DB} and str(_NO_SPACE_ERRNO) in str(error.args)):
        return DependencyUnavailable(
            f"{name} has no disk space left", where=name, hint="free or add space; the next run goes on from here"
        )
    if code in _CROWDED:
        return DependencyUnavailable(
            f"{name} has too many connections (error {code})",
            where=name,
            hint="raise max_connections, or wait until load is lower and run again",
        )
    if code in _GONE or isinstance(error, OSError):
        return DependencyUnavailable(
            f"{name} cannot be reached",
            where=name,
            hint="check that it runs (on a local platform: `tenantry local status`, then `tenantry local up`)",
        )
    if code == ER.CANNOT_USER:
        return Conflict(f"{name} refuses to make or drop an account (error {code})", where=name)
    return RunFailed(f"{name} failed (error {code})", where=name, hint="look in the server's error log")


@functools.lru_cache(maxsize=32)
def server(
    *,
    host: str,
    port: int,
    database_mount: str,
    kv_mount: str,
    role: str = PROVISIONER,
    patience_s: int = _PATIENCE_S,
) -> MariaDbServer:
    """The process's object for one server. role: OpenBao's static role of the account to be there. patience_s: how
    long one statement is waited for."""
    return MariaDbServer(
        host=host, port=port, database_mount=database_mount, kv_mount=kv_mount, role=role, patience_s=patience_s
    )


def shared_server(cell: Cell) -> MariaDbServer:
    """The cell's shared server, as the provisioner."""
    database, keys = cell.spec.database, cell.spec.openbao
    return server(host=database.host, port=database.port, database_mount=keys.database_mount, kv_mount=keys.kv_mount)
