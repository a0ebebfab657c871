"""Copies of a running platform's stores, each by its own means, and stores made from them.

Called by the cell's backup and restore. etcd: its maintenance API, and etcdutl. OpenBao: raft snapshots. MariaDB:
mariabackup, under an account of an hour's life that OpenBao makes. RabbitMQ: its definitions; messages are not copied.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import grpc
import hvac.exceptions
import requests
import urllib3.exceptions
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tenantry.local.cluster import Etcd
from tenantry.local.database import MariaDB
from tenantry.local.keys import OpenBao
from tenantry.local.layout import make_folder, write_file
from tenantry.local.messaging import RabbitMQ
from tenantry.local.part import Account, Part, web
from tenantry.local.ports import LOOPBACK
from tenantry.tenancy.errors import DependencyUnavailable, RunFailed, StateCorrupt

__all__ = ["EtcdCopy", "MariaDbCopy", "OpenBaoCopy", "RabbitMqCopy"]

_PIECE = 1024 * 1024
_LONG_S = 600
_COPY_S = 4 * 3600
"""Of all of MariaDB: whatever hangs is ended then."""
_SNAPSHOT = "/etcdserverpb.Maintenance/Snapshot"
_CHANNEL = (("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 16 * 1024 * 1024))
_Field = descriptor_pb2.FieldDescriptorProto
_COPIER = "tenantry-cell-backup"
_COPIER_STATEMENTS = (
    "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}' REQUIRE SSL",
    "GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICA MONITOR ON *.* TO '{{name}}'@'%'",
)


class EtcdCopy:
    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    def read(self) -> Iterator[bytes]:
        """A snapshot of the store at one moment, with its checksum at the end, as etcdutl takes it."""
        certificate, key = self._etcd.client_certificate()
        credentials = grpc.ssl_channel_credentials(
            self._etcd.site.layout.ca_file.read_bytes(), key.read_bytes(), certificate.read_bytes()
        )
        left = 1
        try:
            with grpc.secure_channel(self._etcd.address, credentials, _CHANNEL) as channel:
                call = channel.unary_stream(_SNAPSHOT, response_deserializer=_piece_of_snapshot().FromString)
                for piece in call(b"", timeout=_LONG_S):
                    left = piece.remaining_bytes
                    yield piece.blob
        except grpc.RpcError as error:
            raise _refused(self._etcd, f"no snapshot ({error.code().name})") from None
        if left:
            raise _refused(self._etcd, "the snapshot was cut short")

    def write(self, snapshot: Path, etcdutl: Path) -> None:
        """Make the stopped server's data from a snapshot. Versions jump, so that no watcher takes new for old."""
        folder = self._etcd.make_folder()
        shutil.rmtree(folder / "data", ignore_errors=True)
        peer = f"https://{LOOPBACK}:{self._etcd.site.ports['etcd-peer']}"
        _run(
            [
                str(etcdutl),
                "snapshot",
                "restore",
                str(snapshot),
                f"--data-dir={folder / 'data'}",
                "--name=local",
                f"--initial-cluster=local={peer}",
                f"--initial-advertise-peer-urls={peer}",
                "--bump-revision=1000000000",
                "--mark-compacted",
            ],
            what="etcd's store",
        )
        self._etcd.mark_initialized()


class OpenBaoCopy:
    def __init__(self, openbao: OpenBao) -> None:
        self._openbao = openbao

    def read(self) -> Iterator[bytes]:
        """A raft snapshot: all of OpenBao, encrypted by its barrier, which the seal key opens."""
        try:
            answer = self._openbao.client(self._openbao.admin_token()).sys.take_raft_snapshot()
            yield from answer.iter_content(_PIECE)
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise _refused(self._openbao, f"no snapshot ({type(error).__name__})") from None

    def write(self, snapshot: bytes, tokens: Mapping[str, bytes]) -> None:
        """Put a snapshot in the place of a fresh server's content, and the tokens' files (by name) that belong to it.
        The server must have been started with the seal key of the snapshot's."""
        try:
            self._openbao.client(self._openbao.admin_token()).sys.force_restore_raft_snapshot(snapshot)
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise _refused(self._openbao, f"the snapshot is not taken ({type(error).__name__})") from None
        for name, content in tokens.items():
            write_file(self._openbao.folder / name, content)

    @contextmanager
    def database_account(self, connection: str) -> Iterator[Account]:
        """An account that may copy all of MariaDB, for the block. Its end is an hour away at the latest."""
        client = self._openbao.client(self._openbao.admin_token())
        role = f"database/roles/{_COPIER}"
        try:
            client.write(
                role,
                db_name=connection,
                creation_statements=list(_COPIER_STATEMENTS),
                default_ttl="1h",
                max_ttl="24h",
            )
            made = client.read(f"database/creds/{_COPIER}")
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise _refused(self._openbao, f"no account to copy MariaDB with ({type(error).__name__})") from None
        try:
            yield Account(username=made["data"]["username"], password=made["data"]["password"])
        finally:
            # Its hour ends by itself; what happened in the block is what counts.
            with suppress(hvac.exceptions.VaultError, requests.RequestException):
                client.sys.revoke_lease(made["lease_id"])
            with suppress(hvac.exceptions.VaultError, requests.RequestException):
                client.delete(role)


class MariaDbCopy:
    def __init__(self, mariadb: MariaDB) -> None:
        self._mariadb = mariadb

    def read(self, account: Account) -> Iterator[bytes]:
        """A physical copy of all schemas and accounts, as of the moment when the stream ends. Tables and redo log stay
        encrypted as they are on disk."""
        command = _required("mariadb-backup")
        site = self._mariadb.site
        with tempfile.TemporaryDirectory(prefix="tenantry-copy-") as folder:
            options = Path(folder) / "my.cnf"
            # In a file: arguments and environment can be read by others.
            write_file(
                options,
                f"!include {self._mariadb.folder / 'my.cnf'}\n[mariabackup]\nhost = {LOOPBACK}\n"
                f"port = {self._mariadb.port}\nprotocol = tcp\nssl-ca = {site.layout.ca_file}\n"
                f"ssl-verify-server-cert\nuser = {account.username}\npassword = {account.password}\n",
            )
            log = Path(folder) / "log"
            with (
                log.open("wb") as errors,
                subprocess.Popen(
                    [
                        command,
                        f"--defaults-file={options}",
                        "--backup",
                        "--stream=mbstream",
                        "--ftwrl-wait-timeout=60",
                        f"--target-dir={folder}/none",
                        f"--tmpdir={folder}",
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                ) as process,
            ):
                assert process.stdout is not None
                watchdog = threading.Timer(_COPY_S, process.kill)
                watchdog.daemon = True
                watchdog.start()
                try:
                    while piece := process.stdout.read(_PIECE):
                        yield piece
                    code = process.wait()
                except BaseException:
                    process.kill()
                    raise
                finally:
                    watchdog.cancel()
            if code != 0:
                raise _failed("mariadb-backup", log.read_text(errors="replace"))

    def unpacking(self) -> _Unpacking:
        """Where the stream goes when a server is made from it."""
        folder = self._mariadb.make_folder("temporary", "files")
        shutil.rmtree(folder / "data", ignore_errors=True)
        make_folder(folder / "data", 0o700)
        return _Unpacking(folder / "data")

    def prepare(self, openbao: OpenBao) -> None:
        """Bring the unpacked files to the moment at which the copy ended. OpenBao must run: it holds their key."""
        folder = self._mariadb.folder / "data"
        options = folder / "backup-my.cnf"
        places = {
            "hashicorp_key_management_vault_ca": str(self._mariadb.trust()),
            "hashicorp_key_management_vault_url": openbao.keys_url,
        }
        lines = [
            f"{line.partition('=')[0]}={places[line.partition('=')[0]]}" if line.partition("=")[0] in places else line
            for line in options.read_text().splitlines()
        ]
        write_file(options, "\n".join(lines) + "\n")
        _run(
            [_required("mariadb-backup"), "--prepare", f"--target-dir={folder}"],
            what="MariaDB's data",
            environment={"VAULT_TOKEN": openbao.reader_token() or ""},
        )
        owner = self._mariadb.owner
        if owner.name is not None:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, owner.uid, owner.gid)
        self._mariadb.mark_initialized()


class _Unpacking:
    """mbstream, fed piece by piece."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            [_required("mbstream"), "-x", "-C", str(folder)], stdin=subprocess.PIPE, stderr=self._log
        )

    def write(self, piece: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(piece)
        except BrokenPipeError:
            self.close()

    def close(self) -> None:
        """Raises StateCorrupt for a stream that is not whole."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(_LONG_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._log.seek(0)
        text = self._log.read().decode(errors="replace")
        self._log.close()
        if code != 0 or not (self._folder / "backup-my.cnf").exists():
            raise StateCorrupt(
                f"MariaDB's copy cannot be unpacked: {text.strip()[-200:] or 'it is not whole'}",
                where=str(self._folder),
                hint="use another backup",
            )


class RabbitMqCopy:
    def __init__(self, rabbitmq: RabbitMQ) -> None:
        self._rabbitmq = rabbitmq

    def read(self, admin: Account) -> bytes:
        """Virtual hosts, users (hashes), permissions and limits."""
        return self._request("GET", admin)

    def write(self, definitions: bytes, admin: Account) -> None:
        """Give them to a fresh broker. admin: its first administrator, whom the definitions may replace."""
        self._request("POST", admin, definitions)

    def _request(self, method: str, admin: Account, body: bytes | None = None) -> bytes:
        headers = urllib3.make_headers(basic_auth=f"{admin.username}:{admin.password}")
        headers["Content-Type"] = "application/json"
        url = f"{self._rabbitmq.management_url}/api/definitions"
        try:
            with web(authority_file=self._rabbitmq.site.layout.ca_file, seconds=60) as client:
                answer = client.request(method, url, headers=headers, body=body)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _refused(self._rabbitmq, f"no answer ({type(error).__name__})") from error
        if answer.status >= 300:
            raise _refused(self._rabbitmq, f"{method} of its definitions is answered by {answer.status}")
        return bytes(answer.data)


@functools.cache
def _piece_of_snapshot() -> Any:
    """etcd's message `SnapshotResponse`, the two fields of it that count: its own package is made for Go alone."""
    file = descriptor_pb2.FileDescriptorProto(name="tenantry/etcd.proto", package="tenantry.etcd", syntax="proto3")
    message = file.message_type.add(name="SnapshotResponse")
    message.field.add(name="remaining_bytes", number=2, type=_Field.TYPE_UINT64, label=_Field.LABEL_OPTIONAL)
    message.field.add(name="blob", number=3, type=_Field.TYPE_BYTES, label=_Field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tenantry.etcd.SnapshotResponse"))


def _required(command: str) -> str:
    found = shutil.which(command)
    if found is None:
        raise DependencyUnavailable(
            f"{command} is not on this machine", where="PATH", hint="install Debian's package mariadb-backup"
        )
    return found


def _run(command: list[str], *, what: str, environment: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LONG_S,
            check=False,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired:
        raise _failed(what, f"{Path(command[0]).name} did not end within {_LONG_S} s") from None
    if done.returncode != 0:
        raise _failed(what, done.stderr or done.stdout)


def _failed(what: str, log: str) -> RunFailed:
    last = " | ".join(line.strip() for line in log.splitlines() if line.strip())[-400:]
    return RunFailed(f"{what} cannot be copied or made anew: {last}", where=what, hint="mend that, then run it again")


def _refused(part: Part, reason: str) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"{part.name}: {reason}", where=part.address, hint="is the platform up? `tenantry local status`"
    )
