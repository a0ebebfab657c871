"""The tenant's schema on its MariaDB server: the lock, the dump, and bringing a dump back. TLS always verified.

Passwords reach the client programs in an anonymous memory file with mode 0600: in no argument, no environment and
on no disk.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import pymysql
import pymysql.connections
from pydantic import SecretStr
from pymysql.constants import ER

from tenantry.backup.manifest import Content
from tenantry.backup.portable import PortableDump
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, InvalidInput, Locked, RunFailed, TenantryError

__all__ = ["CLIENT", "DUMP", "Database", "Login", "Readable", "Session", "client_options"]

_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 300
_PIECE_BYTES = 256 * 1024
_SESSION_TIMEOUT_S = 7 * 24 * 3600
"""The session that holds the lock is idle while a dump runs."""
DUMP = (
    "mariadb-dump",
    "--single-transaction",
    "--quick",
    "--routines",
    "--triggers",
    "--hex-blob",
    "--no-tablespaces",
    "--skip-add-locks",
    "--skip-disable-keys",
    "--skip-dump-date",
    "--max-allowed-packet=1G",
    "--default-character-set=utf8mb4",
)
CLIENT = ("mariadb", "--binary-mode", "--max-allowed-packet=1G", "--default-character-set=utf8mb4")
_CONTENT = """
SELECT CASE TABLE_TYPE WHEN 'VIEW' THEN 'VIEW' WHEN 'SEQUENCE' THEN 'SEQUENCE' ELSE 'TABLE' END, TABLE_NAME
  FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s
UNION ALL SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s
UNION ALL SELECT 'EVENT', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    username: str
    password: SecretStr


class Readable(Protocol):
    """What a dump is read from; b"" at its end."""

    def read(self, size: int, /) -> bytes: ...


class Session:
    """One connection, for one thread; holds the schema's lock from `locked` on."""

    def __init__(self, connection: pymysql.connections.Connection[Any], database: Database) -> None:
        self._connection = connection
        self._database = database

    def may_see_events(self) -> bool:
        """An account without the EVENT privilege can have no events either; asking for them would fail the dump."""
        try:
            self.execute(f"SHOW EVENTS FROM {_quote(self._database.schema)}")
        except pymysql.MySQLError as error:
            if error.args[0] == ER.DBACCESS_DENIED_ERROR:
                return False
            raise
        return True

    def lock(self) -> None:
        """Taken or not at once; held until the session ends. Raises Locked."""
        self.execute(f"SET SESSION wait_timeout = {_SESSION_TIMEOUT_S}")
        if self.execute("SELECT GET_LOCK(%s, 0)", (self._lock_name,)) != ((1,),):
            raise Locked(
                "another backup or restore of this schema is under way",
                where=self._database.name,
                hint="wait until it has ended; a killed one lets go when the server notices",
            )

    def still_locked(self) -> bool:
        """Whether the lock was held without a break; a lost connection has lost it."""
        with suppress(pymysql.MySQLError, OSError):
            return self.execute("SELECT IS_USED_LOCK(%s) = CONNECTION_ID()", (self._lock_name,)) == ((1,),)
        return False

    def content(self) -> tuple[tuple[str, str], ...]:
        """(kind, name) of everything in the schema. Raises InvalidInput when there is no such schema."""
        schema = self._database.schema
        if not self.execute("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", (schema,)):
            raise InvalidInput(f"the account sees no schema {schema}", source=self._database.name, hint="make it first")
        return tuple((str(kind), str(name)) for kind, name in self.execute(_CONTENT, (schema,) * 3))

    def clear(self) -> None:
        """Drop everything in the schema."""
        self.execute("SET SESSION foreign_key_checks = 0")
        order = {"VIEW": 0, "TABLE": 1}
        for kind, name in sorted(self.content(), key=lambda entry: order.get(entry[0], 2)):
            self.execute(f"DROP {kind} IF EXISTS {_quote(self._database.schema)}.{_quote(name)}")

    @property
    def _lock_name(self) -> str:
        # A lock's name ends at 64 characters, a schema's may have as many.
        return "tenantry-backup:" + hashlib.sha256(self._database.schema.encode()).hexdigest()[:32]

    def execute(self, statement: str, arguments: Sequence[object] = ()) -> tuple[tuple[Any, ...], ...]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, tuple(arguments) or None)
            return tuple(cursor.fetchall())


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """login: asked anew when the server refuses what it gave, because passwords rotate."""

    host: str
    port: int
    schema: str
    authority: Path | None
    login: Callable[[], Login]

    @property
    def name(self) -> str:
        return f"{self.schema} on MariaDB at {self.host}:{self.port}"

    @contextmanager
    def session(self) -> Iterator[tuple[Session, Login]]:
        """A session and the login that it used. Driver errors inside become ours, without the statement."""
        connection: pymysql.connections.Connection[Any] | None = None
        try:
            login = self.login()
            try:
                connection = self._connect(login)
            except pymysql.OperationalError as error:
                if error.args[0] != ER.ACCESS_DENIED_ERROR:
                    raise
                login = self.login()
                connection = self._connect(login)
            yield Session(connection, self), login
        except pymysql.MySQLError as error:
            raise self._problem(error) from None
        finally:
            if connection is not None:
                connection.close()

    def dump(self, login: Login, target: Any, *, events: bool) -> Content:
        """Stream a consistent dump into `target`, and say what it holds. Raises RunFailed or DependencyUnavailable when
        it ends badly."""
        arguments = (*DUMP, "--events") if events else DUMP
        with self._program(arguments, login, (self.schema,), stdout=subprocess.PIPE) as (process, complaints):
            portable = PortableDump(target)
            assert process.stdout is not None
            while piece := process.stdout.read(_PIECE_BYTES):
                portable.write(piece)
            portable.finish()
            self._judge(process, complaints, "the dump failed")
        return portable.content

    def content(self, login: Login) -> Content:
        """What a dump would hold now, read as one point in time and kept nowhere."""
        return self.dump(login, _Nowhere(), events=False)

    def load(self, login: Login, source: Readable) -> None:
        """Run a dump in the schema. Raises RunFailed; the schema then holds a part of it."""
        with self._program(CLIENT, login, (self.schema,), stdin=subprocess.PIPE) as (process, complaints):
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # the client has stopped: its own words tell why
                while piece := source.read(_PIECE_BYTES):
                    process.stdin.write(piece)
                process.stdin.close()
            self._judge(process, complaints, "bringing the dump back failed")

    @contextmanager
    def _program(
        self,
        arguments: Sequence[str],
        login: Login,
        rest: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
    ) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
        """A client program; gone when the block ends, however it ends."""
        with self._defaults(login) as defaults, tempfile.TemporaryFile() as complaints:
            command = [arguments[0], f"--defaults-file=/proc/self/fd/{defaults}", *arguments[1:], *rest]
            environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
            try:
                process = subprocess.Popen(
                    command, stdin=stdin, stdout=stdout, stderr=complaints, pass_fds=(defaults,), env=environment
                )
            except OSError as error:
                raise DependencyUnavailable(
                    f"{arguments[0]} cannot be started ({error.strerror})", hint="install MariaDB's client programs"
                ) from None
            try:
                yield process, complaints
            finally:
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        with suppress(OSError):
                            stream.close()
                if process.poll() is None:
                    process.kill()
                    process.wait()

    @contextmanager
    def _defaults(self, login: Login) -> Iterator[int]:
        authority = self.authority or ssl.get_default_verify_paths().cafile
        fields = {
            "protocol": "tcp",
            "host": self.host,
            "port": str(self.port),
            "user": login.username,
            "password": login.password.get_secret_value(),
        }
        if authority is not None:
            fields["ssl-ca"] = str(authority)
        with client_options(fields, "ssl", "ssl-verify-server-cert") as handle:
            yield handle

    def _connect(self, login: Login) -> pymysql.connections.Connection[Any]:
        try:
            context = ssl.create_default_context(cafile=self.authority)
        except OSError as error:
            raise InvalidInput(
                f"the authority's file cannot be read ({type(error).__name__})", source=str(self.authority)
            ) from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=login.username,
            password=login.password.get_secret_value(),
            ssl=context,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            write_timeout=_READ_TIMEOUT_S,
        )

    def _judge(self, process: subprocess.Popen[bytes], complaints: IO[bytes], message: str) -> None:
        code = process.wait()
        if code == 0:
            return
        complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - 2000))
        lines = complaints.read().decode("utf-8", "replace").strip().splitlines()
        reason = next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else f"exit code {code}")
        raise RunFailed(f"{message}: {reason[:300]}", where=self.name, hint="nothing is counted as done; run it again")

    def _problem(self, error: pymysql.MySQLError) -> TenantryError:
        code = error.args[0] if error.args else None
        if isinstance(getattr(error, "original_exception", None), ssl.SSLError):
            return DependencyUnavailable(
                "the database server shows a certificate that cannot be verified", where=self.name
            )
        if code in {ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR}:
            return DependencyUnavailable(f"the database server refuses the account (error {code})", where=self.name)
        if code in {ER.CON_COUNT_ERROR, ER.TOO_MANY_USER_CONNECTIONS, ER.USER_LIMIT_REACHED}:
            return DependencyUnavailable(
                f"no connection is free (error {code})", where=self.name, hint="a backup needs two of the account's own"
            )
        if isinstance(error, pymysql.OperationalError | pymysql.InterfaceError):
            return DependencyUnavailable(
                f"the database server is out of reach (error {code})",
                where=self.name,
                hint="see that it runs; one in a tenant's namespace is reached by the cell's operator and its pods",
            )
        return Conflict(f"the database server refuses a statement (error {code})", where=self.name)


@contextmanager
def client_options(fields: Mapping[str, str], *flags: str) -> Iterator[int]:
    """A file descriptor of an option file for the client programs, in memory, mode 0600: `/proc/self/fd/<it>`."""
    lines = ["[client]", *flags, *(f"{key}={_option(value)}" for key, value in fields.items())]
    handle = os.memfd_create("options")
    try:
        os.fchmod(handle, 0o600)  # the client ignores a file that others may write
        os.write(handle, "".join(f"{line}\n" for line in lines).encode())
        yield handle
    finally:
        os.close(handle)


class _Nowhere:
    def write(self, data: bytes, /) -> int:
        return len(data)


def _quote(identifier: str) -> str:
    return "`" + identifier.replace("`", "``") + "`"


def _option(value: str) -> str:
    """A value in an option file: quoted, so that `#` and blanks mean themselves."""
    if any(ord(character) < ord(" ") for character in value):
        raise InvalidInput("an option for the database's client holds a control character")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
