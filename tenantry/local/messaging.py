"""RabbitMQ: the cell's shared message broker, and epmd, the port mapper that Erlang wants beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import socket
import ssl

import urllib3
import urllib3.exceptions

from tenantry.local.layout import Owner, owner_of, write_file
from tenantry.local.part import Account, Health, Part, Program, State, web
from tenantry.local.ports import LOOPBACK

__all__ = ["Epmd", "RabbitMQ"]

_ACCOUNT = "rabbitmq"
_NAMES_REQUEST = b"\x00\x01n"


class Epmd(Part):
    """The Erlang port mapper, on loopback and on a port of its own, so that no other one is disturbed."""

    name = "epmd"

    @property
    def owner(self) -> Owner:
        return owner_of(_ACCOUNT)

    def program(self) -> Program:
        return Program(
            command=(str(self.site.tools["epmd"]), "-address", LOOPBACK, "-port", str(self.port)), owner=self.owner
        )

    def prepare(self) -> None:
        self.make_folder()

    def probe(self) -> Health:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=3) as connection:
                connection.sendall(_NAMES_REQUEST)
                answered = len(connection.recv(4)) == 4
        except OSError:
            answered = False
        if answered:
            return Health(state=State.RUNNING)
        return Health(state=State.UNHEALTHY, message="no answer", hint=f"read {self.log}")


class RabbitMQ(Part):
    """One broker: AMQP over TLS, management over HTTPS, no guest."""

    name = "rabbitmq"
    start_seconds = 120.0

    @property
    def owner(self) -> Owner:
        return owner_of(_ACCOUNT)

    @property
    def management_url(self) -> str:
        return f"https://{LOOPBACK}:{self.site.ports['rabbitmq-management']}"

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port, self.site.ports["rabbitmq-management"], self.site.ports["rabbitmq-distribution"])

    def program(self) -> Program:
        folder = self.folder
        return Program(
            command=(str(self.site.tools["rabbitmq-server"]),),
            environment={
                "HOME": str(folder),
                "LANG": "C.UTF-8",
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "RABBITMQ_NODENAME": f"tenantry-{self.site.layout.name}@localhost",
                "RABBITMQ_CONF_ENV_FILE": str(folder / "environment.conf"),
                "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
                "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
                "RABBITMQ_MNESIA_BASE": str(folder / "data"),
                "RABBITMQ_MNESIA_DIR": str(folder / "data" / "node"),
                "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "data" / "feature_flags"),
                "RABBITMQ_PLUGINS_EXPAND_DIR": str(folder / "data" / "plugins"),
                "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "data" / "config"),
                "RABBITMQ_SCHEMA_DIR": str(folder / "data" / "schema"),
                "RABBITMQ_PID_FILE": str(folder / "data" / "node.pid"),
                "RABBITMQ_LOG_BASE": str(folder / "data"),
                "RABBITMQ_LOGS": "-",
                "RABBITMQ_DIST_PORT": str(self.site.ports["rabbitmq-distribution"]),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
                "ERL_EPMD_ADDRESS": LOOPBACK,
                "ERL_EPMD_PORT": str(self.site.ports["epmd"]),
            },
            owner=self.owner,
            stop_seconds=40,
        )

    def prepare(self) -> None:
        if not self.initialized:
            self.clear_data()
        folder = self.make_folder("data")
        self.trust()
        self.site.authority.issue(folder, "server", self.service_leaf(), owner=self.owner)
        cookie = folder / ".erlang.cookie"
        if not cookie.exists():
            write_file(cookie, secrets.token_hex(32), mode=0o400, owner=self.owner)
        self.write("enabled_plugins", "[rabbitmq_management].\n")
        self.write("environment.conf", "")
        self.write("advanced.config", "[].\n")
        if not self.initialized:
            admin, health = self.new_account("tenantry"), self.new_account("health")
            self.write("definitions.json", _definitions(admin, health))
            self.keep_health_account(health)
            self.hand_over(admin, managementUrl=self.management_url)
        self._configure()

    def _configure(self) -> None:
        folder = self.folder
        lines = ["listeners.tcp = none"]
        for index, address in enumerate(self.site.service_addresses, start=1):
            lines.append(f"listeners.ssl.{index} = {address}:{self.port}")
        for prefix in ("ssl_options", "management.ssl"):
            lines += [
                f"{prefix}.cacertfile = {folder / 'ca.pem'}",
                f"{prefix}.certfile = {folder / 'server.pem'}",
                f"{prefix}.keyfile = {folder / 'server.key'}",
            ]
        lines += [
            "ssl_options.verify = verify_none",
            "ssl_options.versions.1 = tlsv1.3",
            "ssl_options.versions.2 = tlsv1.2",
            f"management.ssl.ip = {LOOPBACK}",
            f"management.ssl.port = {self.site.ports['rabbitmq-management']}",
            "log.console = true",
            "log.console.level = info",
            "disk_free_limit.absolute = 200MB",
        ]
        if not self.initialized:
            # Only at the first start: at a later one they would bring back passwords that have been rotated.
            lines.append(f"load_definitions = {folder / 'definitions.json'}")
        self.write("rabbitmq.conf", "\n".join(lines) + "\n")

    def ready(self) -> None:
        super().ready()
        (self.folder / "definitions.json").unlink(missing_ok=True)
        self._configure()

    def probe(self) -> Health:
        account = self.health_account()
        if account is None:
            return Health(state=State.STOPPED, message="not made yet", hint="run `tenantry local up`")
        headers = urllib3.make_headers(basic_auth=f"{account.username}:{account.password}")
        try:
            with web(authority_file=self.site.layout.ca_file) as client:
                answer = client.request("GET", f"{self.management_url}/api/health/checks/local-alarms", headers=headers)
            self._shake_hands()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Health(state=State.UNHEALTHY, message=f"no answer ({type(error).__name__})", hint=f"read {self.log}")
        if answer.status == 200:
            return Health(state=State.RUNNING)
        if answer.status == 503:
            return Health(
                state=State.UNHEALTHY,
                message="an alarm stops publishers: memory or disk space is low",
                hint="free memory or disk space; the broker goes on by itself",
            )
        return Health(
            state=State.UNHEALTHY,
            message=f"the management API answers {answer.status}",
            hint=f"read {self.log}",
        )

    def _shake_hands(self) -> None:
        """Greet the AMQP listener as a client does; it must begin the protocol with a method frame."""
        context = ssl.create_default_context(cafile=str(self.site.layout.ca_file))
        with (
            socket.create_connection((LOOPBACK, self.port), timeout=3) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            if connection.recv(1) != b"\x01":
                raise ConnectionError("not an AMQP server")


def _definitions(admin: Account, health: Account) -> str:
    def user(account: Account, *tags: str) -> dict[str, object]:
        return {
            "name": account.username,
            "password_hash": _hash(account.password),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": list(tags),
        }

    everything = {"user": admin.username, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    return json.dumps(
        {
            "users": [user(admin, "administrator"), user(health, "monitoring")],
            "vhosts": [{"name": "/"}],
            "permissions": [everything],
        }
    )


def _hash(password: str) -> str:
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
