"""A MariaDB server of a copy's own, reached by nobody but us, gone with everything in it when the block ends.

It is told by the kernel to die with us. What a machine that lost power leaves is removed by the next one that starts.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tenantry.backup.database import DUMP, client_options
from tenantry.backup.manifest import Content
from tenantry.backup.portable import PortableDump
from tenantry.backup.stopping import Stopped
from tenantry.recovery.physical import PhysicalBackup, ServerOptions, last_words, run_program
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput, RunFailed

__all__ = ["DumpReader", "ScratchServer", "scratch_server"]

_PREFIX = "scratch-"
_ACCOUNT = "replay"
_START_S = 120
_STOP_S = 30
_PREPARE_S = 2 * 3600
_BUFFER = "64M"
_PIECE_BYTES = 256 * 1024
_OWN = {
    "basedir",
    "bind_address",
    "datadir",
    "encrypt_binlog",
    "event_scheduler",
    "general_log",
    "hashicorp_key_management_token",
    "init_file",
    "innodb_buffer_pool_size",
    "innodb_encryption_threads",
    "log_error",
    "max_connections",
    "pid_file",
    "port",
    "require_secure_transport",
    "secure_file_priv",
    "server_id",
    "skip_networking",
    "slow_query_log",
    "socket",
    "tmpdir",
    "user",
}
"""Places and ways in of the real server, and what it does for others."""
_OWN_PREFIXES = ("binlog_", "expire_logs", "log_bin", "log_slave", "replicate_", "ssl_", "tls_", "wsrep", "gtid_")


class ScratchServer:
    """A running one. Programs reach it by its socket, with a password that is nowhere but in memory."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], password: str, log: Path) -> None:
        self._folder = folder
        self._process = process
        self._password = password
        self._log = log

    @contextmanager
    def client(self) -> Iterator[int]:
        """Options of a client that may do everything in it."""
        fields = {
            "protocol": "socket",
            "socket": str(self._folder / "s"),
            "user": _ACCOUNT,
            "password": self._password,
        }
        with client_options(fields) as handle:
            yield handle

    @contextmanager
    def program(
        self, command: tuple[str, ...], *rest: str, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
    ) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], str]]]:
        """A client program of it, and what it said last; gone when the block ends."""
        with self.client() as handle, tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(
                [command[0], f"--defaults-file=/proc/self/fd/{handle}", *command[1:], *rest],
                stdin=stdin,
                stdout=stdout,
                stderr=complaints,
                pass_fds=(handle,),
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            )
            try:
                yield process, lambda: last_words(complaints)
            finally:
                _end(process)

    @contextmanager
    def dump(self, schema: str) -> Iterator[DumpReader]:
        """A schema of it as a stream."""
        with self.program(DUMP, schema, stdout=subprocess.PIPE) as (process, said):
            yield DumpReader(process, said, schema)

    def wait_until_ready(self, stopping: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_S
        while True:
            with self.program(("mariadb",), "-e", "SELECT 1") as (process, _):
                if process.wait(timeout=_START_S) == 0:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                with self._log.open("rb") as log:
                    raise RunFailed(
                        f"the scratch server does not start: {last_words(log)}",
                        hint="are the server's keys at hand? It runs on the copy of a physical backup",
                    )
            if stopping():
                raise Stopped("stopped while the scratch server started")
            time.sleep(0.2)


class DumpReader:
    """The dump as it comes, made portable; `content` once it is read to its end."""

    def __init__(self, process: subprocess.Popen[bytes], said: Callable[[], str], schema: str) -> None:
        self._process = process
        self._said = said
        self._schema = schema
        self._buffer = bytearray()
        self._portable = PortableDump(self)
        self._ended = False

    def write(self, data: bytes, /) -> int:
        """Called by the filter with what may pass."""
        self._buffer += data
        return len(data)

    def read(self, size: int, /) -> bytes:
        """Raises RunFailed when the dump ended badly."""
        assert self._process.stdout is not None
        while not self._buffer and not self._ended:
            piece = self._process.stdout.read(_PIECE_BYTES)
            if piece:
                self._portable.write(piece)
                continue
            self._ended = True
            self._portable.finish()
            if self._process.wait() != 0:
                raise RunFailed(f"the replayed schema {self._schema} cannot be dumped: {self._said()}")
        given = bytes(self._buffer[:size])
        del self._buffer[:size]
        return given

    def content(self) -> Content:
        return self._portable.content


@contextmanager
def scratch_server(
    backup: PhysicalBackup, options: ServerOptions, *, stopping: Callable[[], bool]
) -> Iterator[ScratchServer]:
    """A server on a copy of the backup, beside it in the same folder."""
    sweep(backup.folder.parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=backup.folder.parent))  # 0700
    try:
        data = folder / "data"
        _copy(backup.folder, data, stopping)
        run_program(
            ["mariadb-backup", "--prepare", f"--target-dir={data}", "--use-memory=64M"],
            environment=options.environment,
            seconds=_PREPARE_S,
        )
        password = secrets.token_hex(24)
        (folder / "first.sql").write_text(
            f"CREATE OR REPLACE USER {_ACCOUNT}@localhost IDENTIFIED BY '{password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {_ACCOUNT}@localhost WITH GRANT OPTION;\n"
        )
        (folder / "first.sql").chmod(0o600)
        (folder / "my.cnf").write_text(_configuration(folder, options))
        _hand_over(folder, options)
        with _running(folder, options) as process:
            server = ScratchServer(folder, process, password, folder / "log")
            server.wait_until_ready(stopping)
            (folder / "first.sql").unlink()
            yield server
    except OSError as error:
        raise DependencyUnavailable(
            f"a scratch server cannot be made: {error.strerror}",
            where=str(folder),
            hint="it needs as much room as the physical backup",
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """End and remove scratch servers whose maker has ended without doing so."""
    left = [path for path in folder.glob(f"{_PREFIX}*") if path.is_dir() and not _in_use(path)]
    for path in left:
        for process in psutil.process_iter(["cmdline"]):
            if f"--defaults-file={path}/my.cnf" in (process.info["cmdline"] or ()):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    process.wait(_STOP_S)
        shutil.rmtree(path, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    """Whether the process that made it lives; it is named in the file `maker`, which comes first of all."""
    try:
        pid, began = (folder / "maker").read_text().split()
        return int(psutil.Process(int(pid)).create_time()) == int(began)
    except (OSError, ValueError, psutil.NoSuchProcess):
        return False


def _copy(source: Path, target: Path, stopping: Callable[[], bool]) -> None:
    (target.parent / "maker").write_text(f"{os.getpid()} {int(psutil.Process().create_time())}")

    def copy(name: str, place: str) -> str:
        if stopping():
            raise Stopped("stopped while the physical backup was copied")
        return str(shutil.copyfile(name, place))

    shutil.copytree(source, target, copy_function=copy)


def _configuration(folder: Path, options: ServerOptions) -> str:
    """The server's own settings, but for what is another server's: keys and modes must be the same."""
    kept = {
        key: value for key, value in options.settings.items() if key not in _OWN and not key.startswith(_OWN_PREFIXES)
    }
    own = {
        "datadir": f"{folder}/data",
        "socket": f"{folder}/s",
        "pid_file": f"{folder}/pid",
        "tmpdir": str(folder),
        "log_error": f"{folder}/log",
        "init_file": f"{folder}/first.sql",
        "skip_networking": "ON",
        "skip_log_bin": None,
        "event_scheduler": "OFF",
        "innodb_buffer_pool_size": _BUFFER,
    }
    # The server refuses an unknown setting unless it is told to pass over it: plugins may not be loaded yet.
    loose = ("hashicorp_", "file_key_")
    lines = [
        ("loose_" if key.startswith(loose) else "") + (key if value is None else f"{key} = {value}")
        for key, value in {**kept, **own}.items()
    ]
    return "[mariadbd]\n" + "\n".join(lines) + "\n"


def _hand_over(folder: Path, options: ServerOptions) -> None:
    if os.geteuid() != 0:
        return
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(root) / name, options.owner, options.group)
    os.chown(folder, options.owner, options.group)


@contextmanager
def _running(folder: Path, options: ServerOptions) -> Iterator[subprocess.Popen[bytes]]:
    command = ["mariadbd", f"--defaults-file={folder}/my.cnf"]
    if os.geteuid() == 0:
        user = pwd.getpwuid(options.owner).pw_name
        command = [
            "setpriv",
            f"--reuid={user}",
            f"--regid={options.group}",
            "--init-groups",
            "--pdeathsig=KILL",
            *command,
        ]
    elif shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig=KILL", *command]
    if not folder.is_absolute():
        raise InvalidInput("the folder of physical backups must be an absolute path", source=str(folder))
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=options.environment,
            cwd=folder,
        )
    except FileNotFoundError as error:
        raise DependencyUnavailable(
            f"{error.filename} is not on this machine", hint="on Debian: apt-get install mariadb-server util-linux"
        ) from None
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nothing of it is kept: it need not stop in order."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    if process.poll() is None:
        process.kill()
        process.wait(timeout=_STOP_S)
