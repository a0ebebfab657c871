"""What every part of a local platform is: a supervised program that can be prepared, asked, and known by its files."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import urllib3

from tenantry.local.layout import Layout, Owner, make_folder, read_json, write_file, write_json
from tenantry.local.node import NodePlace
from tenantry.local.pki import Authority, Leaf
from tenantry.local.ports import LOOPBACK

__all__ = ["Account", "Health", "Part", "PartStatus", "Program", "Site", "State", "web"]


class State(StrEnum):
    """What a part is found in."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPED = "stopped"
    SEALED = "sealed"
    UNHEALTHY = "unhealthy"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A part's own answer. message and hint are empty when all is well."""

    state: State
    message: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """One line of `tenantry local status`. pid None: no process. since: ISO 8601 in UTC, None when it is not up."""

    name: str
    state: State
    address: str
    pid: int | None
    since: str | None
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What the supervisor runs. It holds no secret: arguments and environment can be read by others."""

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    owner: Owner = field(default_factory=Owner)
    stop_seconds: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A login at a part, in a file with mode 0600."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the parts of one platform share. tools: paths of the programs by name, empty while only asking.

    node: where its real node is, None with simulated nodes alone.
    """

    layout: Layout
    ports: dict[str, int]
    authority: Authority
    tools: dict[str, Path]
    node: NodePlace | None = None

    @property
    def service_addresses(self) -> tuple[str, ...]:
        """Where the shared services listen: on loopback, and for real pods on the node's bridge."""
        return (LOOPBACK,) if self.node is None else (LOOPBACK, self.node.gateway)

    @property
    def service_address(self) -> str:
        """The one of them that reaches the shared services from everywhere on this platform, pods included."""
        return self.service_addresses[-1]


def web(
    *, authority_file: Path, certificate: tuple[Path, Path] | None = None, seconds: float = 3.0
) -> urllib3.PoolManager:
    """An HTTPS client that trusts one authority only and heeds no proxy or certificate variables."""
    return urllib3.PoolManager(
        ca_certs=str(authority_file),
        cert_reqs="CERT_REQUIRED",
        cert_file=str(certificate[0]) if certificate else None,
        key_file=str(certificate[1]) if certificate else None,
        timeout=urllib3.Timeout(connect=seconds, read=seconds),
        retries=False,
    )


class Part(ABC):
    """One program of the platform. Subclasses say how to configure it and how to ask it for its health."""

    name: str
    start_seconds: float = 60.0
    """How long a start may take before it is a failure."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @property
    def owner(self) -> Owner:
        return Owner()

    @property
    def folder(self) -> Path:
        return self.site.layout.part(self.name)

    @property
    def port(self) -> int:
        return self.site.ports[self.name]

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port that the part listens on."""
        return (self.port,)

    @property
    def log(self) -> Path:
        return self.site.layout.logs / f"{self.name}.log"

    @abstractmethod
    def program(self) -> Program:
        """What to run; the same at every call."""

    @abstractmethod
    def prepare(self) -> None:
        """Write certificates and configuration, and make the data at the first time. Idempotent."""

    @abstractmethod
    def probe(self) -> Health:
        """Ask the part by its own protocol. Never raises for a part that does not answer."""

    def answers(self) -> bool:
        """Whether it has started far enough for `ready`."""
        return self.probe().state is State.RUNNING

    def ready(self) -> None:
        """What must be done once it answers; data that a first start has made is marked whole. Idempotent."""
        if not self.initialized:
            self.mark_initialized()

    def make_folder(self, *inner: str) -> Path:
        """The part's folder, with inner folders, owned by the part's account."""
        make_folder(self.folder, 0o700, self.owner)
        for name in inner:
            make_folder(self.folder / name, 0o700, self.owner)
        return self.folder

    def write(self, name: str, content: str) -> Path:
        path = self.folder / name
        write_file(path, content, owner=self.owner)
        return path

    def trust(self) -> Path:
        """A copy of the local authority's certificate that the part's account can read."""
        return self.write("ca.pem", self.site.authority.pem)

    def service_leaf(self) -> Leaf:
        """What the certificate of a shared service says."""
        return Leaf(common_name=self.name, server=True, addresses=self.site.service_addresses[1:])

    def account_file(self) -> Path:
        return self.site.layout.accounts / f"{self.name}.json"

    def health_account(self) -> Account | None:
        """The login of our own health checks; None before the part has been made."""
        kept = read_json(self.account_file())
        return Account(username=kept["username"], password=kept["password"]) if kept else None

    def new_account(self, username: str) -> Account:
        return Account(username=username, password=secrets.token_urlsafe(32))

    def keep_health_account(self, account: Account) -> None:
        write_json(self.account_file(), {"username": account.username, "password": account.password})

    def hand_over(self, account: Account, **more: Any) -> None:
        """Leave the administrator's login for the one who adopts the part. Only ever written with new data."""
        write_json(
            self.site.layout.bootstrap / f"{self.name}.json",
            {
                "host": LOOPBACK,
                "port": self.port,
                "username": account.username,
                "password": account.password,
                "caFile": str(self.site.layout.ca_file),
                **more,
            },
        )

    @property
    def _marker(self) -> Path:
        return self.folder / "initialized"

    @property
    def initialized(self) -> bool:
        """Whether the data was made completely. What a cut-short first start left is not data yet."""
        return self._marker.exists()

    def mark_initialized(self) -> None:
        write_file(self._marker, "the data folder is complete; without this file it is made anew\n", owner=self.owner)

    def clear_data(self) -> None:
        """Delete what a first start that was cut short has left."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def fingerprint(self) -> str:
        """Changes when anything that the program reads at its start does."""
        program = self.program()
        digest = hashlib.sha256(
            json.dumps([program.command, program.environment, program.owner.name], sort_keys=True).encode()
        )
        for path in sorted(path for path in self.folder.iterdir() if path.is_file() and path != self._marker):
            if path.suffix not in {".log", ".pid", ".acl", ".sock"}:
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()
