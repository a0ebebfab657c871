"""OpenBao: the cell's key manager, unsealed by a key file of its own (`seal "static"`).

Besides starting it, the platform makes three things in it: an administrator's token for the cell's stack, the
mount with MariaDB's at-rest keys, and the token by which MariaDB reads them. Everything for tenants is made by
the cell's stack.
"""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from threading import Event
from typing import Any

import hvac
import hvac.exceptions
import requests
import urllib3.exceptions

from tenantry.local.layout import read_json, write_file, write_json
from tenantry.local.names import with_names, write_resolver
from tenantry.local.part import Health, Part, Program, State, web
from tenantry.local.ports import LOOPBACK
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["OpenBao"]

_MOUNT = "cell"
_ADMIN_POLICY = 'path "*" {\n  capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"]\n}\n'
_READER_POLICY = f"""\
path "{_MOUNT}/data/*" {{
  capabilities = ["read"]
}}
path "sys/mounts/{_MOUNT}/tune" {{
  capabilities = ["read"]
}}
"""
_AUDIT_MIB = 50
_PERIOD = "8760h"
"""A platform that rests for less than a year finds its tokens alive; each `up` renews them."""


class OpenBao(Part):
    """One server with integrated storage and an audit log, on loopback with TLS."""

    name = "openbao"

    @property
    def url(self) -> str:
        return f"https://{self.address}"

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port, self.site.ports["openbao-cluster"])

    @property
    def audit_log(self) -> Path:
        """One JSON line a request and an answer, secrets as keyed hashes."""
        return self.folder / "audit" / "audit.log"

    def set_audit_log_aside(self) -> bool:
        """Make a log that has grown large the one old log; whether it was. OpenBao opens a new one at SIGHUP, and
        writes on in the old one until then."""
        log = self.audit_log
        if not log.exists() or log.stat().st_size < _AUDIT_MIB * 2**20:
            return False
        log.replace(log.with_name(f"{log.name}.1"))
        return True

    @property
    def keys_url(self) -> str:
        """Where MariaDB reads its at-rest keys."""
        return f"{self.url}/v1/{_MOUNT}"

    def program(self) -> Program:
        # It reaches the database servers that run in pods of tenants.
        return with_names(
            self,
            Program(
                command=(str(self.site.tools["bao"]), "server", f"-config={self.folder / 'openbao.hcl'}"),
                environment={"HOME": str(self.folder)},
            ),
        )

    def prepare(self) -> None:
        if not self.initialized:
            self.clear_data()
        folder = self.make_folder("data", "audit")
        seal_key = folder / "seal.key"
        if not seal_key.exists():
            write_file(seal_key, secrets.token_bytes(32))
        self.trust()
        write_resolver(self)
        certificate, key = self.site.authority.issue(folder, "server", self.service_leaf())
        self.write("openbao.hcl", self._configuration(certificate, key, seal_key))

    def _configuration(self, certificate: Path, key: Path, seal_key: Path) -> str:
        quote = json.dumps
        cluster = f"{LOOPBACK}:{self.site.ports['openbao-cluster']}"
        listeners = "\n".join(
            f"""\
listener "tcp" {{
  address = {quote(f"{address}:{self.port}")}
  cluster_address = {quote(cluster)}
  tls_cert_file = {quote(str(certificate))}
  tls_key_file = {quote(str(key))}
  tls_min_version = "tls12"
}}
"""
            for address in self.site.service_addresses
        )
        return f"""\
api_addr = {quote(self.url)}
cluster_addr = {quote("https://" + cluster)}
max_lease_ttl = "87600h"

{listeners}
storage "raft" {{
  path = {quote(str(self.folder / "data"))}
  node_id = "local"
}}

seal "static" {{
  current_key_id = "1"
  current_key = {quote("file://" + str(seal_key))}
}}

audit "file" "local" {{
  options {{
    file_path = {quote(str(self.audit_log))}
    mode = "0600"
  }}
}}
"""

    def _status(self) -> int | None:
        """The code of sys/health (200 active, 429 standby, 501 new, 503 sealed); None: no answer."""
        try:
            with web(authority_file=self.site.layout.ca_file) as client:
                return int(client.request("GET", f"{self.url}/v1/sys/health").status)
        except urllib3.exceptions.HTTPError:
            return None

    def probe(self) -> Health:
        code = self._status()
        if code == 200:
            return Health(state=State.RUNNING)
        if code == 503:
            return Health(
                state=State.SEALED,
                message="OpenBao is sealed: nothing can be encrypted, decrypted or read",
                hint="run `tenantry local up`: it restarts OpenBao, which unseals itself with its key file",
            )
        if code == 501:
            return Health(
                state=State.UNHEALTHY,
                message="OpenBao has no data yet",
                hint="run `tenantry local up` to finish its first start",
            )
        return Health(
            state=State.UNHEALTHY,
            message="no answer" if code is None else f"health check says {code}",
            hint=f"read {self.log}",
        )

    def answers(self) -> bool:
        return self._status() in {200, 501}

    def ready(self) -> None:
        try:
            if not self.initialized:
                self._initialize()
            self._tend()
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise DependencyUnavailable(
                f"OpenBao refuses what the platform needs: {type(error).__name__}",
                where=self.url,
                hint=f"read {self.log}; if the administrator's token has been revoked, make the platform anew",
            ) from error

    def client(self, token: str | None = None) -> hvac.Client:
        session = requests.Session()
        session.trust_env = False  # REQUESTS_CA_BUNDLE would replace the local authority
        session.verify = str(self.site.layout.ca_file)
        return hvac.Client(url=self.url, token=token, session=session, timeout=15)

    def admin_token(self) -> str | None:
        """The token of the policy `cell-admin`; None before the first start has ended."""
        token = read_json(self.folder / "admin.token.json").get("token")
        return str(token) if token else None

    def reader_token(self) -> str | None:
        """The token by which MariaDB reads its at-rest keys; None before the first start has ended."""
        token = read_json(self.folder / "reader.token.json").get("token")
        return str(token) if token else None

    def _initialize(self) -> None:
        client = self.client()
        answer = _patiently(
            lambda: client.sys.initialize(
                secret_shares=None, secret_threshold=None, recovery_shares=1, recovery_threshold=1
            )
        )
        write_json(self.folder / "recovery.json", {"recoveryKeys": answer["recovery_keys_base64"]})
        root = self.client(answer["root_token"])
        _patiently(lambda: root.sys.create_or_update_policy("cell-admin", _ADMIN_POLICY))
        self._make_keys_mount(root)
        for name, policy in (("admin", "cell-admin"), ("reader", "mariadb-at-rest")):
            token = root.auth.token.create(
                policies=[policy],
                period=_PERIOD,
                no_parent=True,
                no_default_policy=name == "reader",
                display_name=f"local-{name}",
            )["auth"]["client_token"]
            write_json(self.folder / f"{name}.token.json", {"token": token})
        root.auth.token.revoke_self()
        self.mark_initialized()

    @staticmethod
    def _make_keys_mount(root: hvac.Client) -> None:
        root.sys.enable_secrets_engine("kv", path=_MOUNT, options={"version": "2"}, description="at-rest keys")
        root.sys.create_or_update_policy("mariadb-at-rest", _READER_POLICY)
        # A fresh mount refuses writes until it has set itself up.
        _patiently(
            lambda: root.secrets.kv.v2.create_or_update_secret(
                path="1", secret={"data": secrets.token_hex(32)}, mount_point=_MOUNT
            )
        )

    def _tend(self) -> None:
        admin = self.client(self.admin_token())
        admin.auth.token.renew_self()
        admin.auth.token.renew(self.reader_token())


def _patiently(call: Any, *, seconds: float = 20.0) -> Any:
    """Repeat what a server that is just starting refuses for a moment."""
    deadline = time.monotonic() + seconds
    pause = Event()
    while True:
        try:
            return call()
        except (hvac.exceptions.VaultError, requests.RequestException):
            if time.monotonic() > deadline:
                raise
            pause.wait(0.1)
