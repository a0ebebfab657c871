"""Taking a cell's backup, while the cell works.

MariaDB's copy is of the moment when it ends. Right then, with the list of tenants held, records and state, etcd, and
last OpenBao are read, in seconds: what any of them names is in OpenBao's copy. A run that was under way at that moment
stands in its journal, and the restored cell's operator finishes it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tenantry.cell_backup.archive import writing
from tenantry.cell_backup.keys import read_public
from tenantry.fleet import Fleet
from tenantry.local import LocalPlatform
from tenantry.local.cluster import Authorities, Etcd
from tenantry.local.copies import EtcdCopy, MariaDbCopy, OpenBaoCopy, RabbitMqCopy
from tenantry.local.database import MariaDB
from tenantry.local.keys import OpenBao
from tenantry.local.messaging import RabbitMQ
from tenantry.local.part import Account
from tenantry.openbao import openbao
from tenantry.tenancy.errors import DependencyUnavailable, Unsupported

__all__ = ["Taken", "take"]

_HOME_LEFT_OUT = ("parts", "logs", "supervisor", "bin", "backups", "bootstrap", "restoring.json")
_PARTS_LEFT_OUT = (
    "etcd/data",
    "etcd/initialized",
    "kube-apiserver/audit",
    "mariadb-copies",
    "mariadb/data",
    "mariadb/files",
    "mariadb/initialized",
    "mariadb/temporary",
    "openbao/audit",
    "openbao/data",
    "openbao/initialized",
    "rabbitmq/.erlang.cookie",
    "rabbitmq/data",
    "rabbitmq/initialized",
    "redis/data",
)
"""Stores, which are copied by their own means, and what is made anew: caches, logs, messages under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """moment: what the backup is of. size: of the file, in bytes. seconds: what it took."""

    path: Path
    moment: datetime
    size: int
    seconds: float


def take(
    platform: LocalPlatform, fleet: Fleet, *, folder: Path, public: Path, progress: Callable[[str], None]
) -> Taken:
    """Back up the whole cell into a new file of the folder, under an administrator's token.

    public: file of the public key. Raises Unsupported for a platform on somebody else's cluster or with a real
    node, DependencyUnavailable
    when a part does not answer; no file is left then.
    """
    if not platform.own_cluster:
        raise Unsupported(
            "the cluster of this platform is not its own, and neither is its store",
            where=platform.name,
            hint="back that cluster up by its own means; tenants' data has its own backups: docs/backups.md",
        )
    if platform.site().node is not None:
        raise Unsupported(
            "a platform with a real node has volumes and images of pods, which this does not copy",
            where=platform.name,
            hint="tenants' data has its own backups: docs/backups.md",
        )
    seal, started = read_public(public), time.monotonic()
    site, begun = platform.site(), datetime.now(UTC)
    keys = OpenBaoCopy(OpenBao(site))
    cell = fleet.cell.metadata.name
    path = folder / f"{cell}-{begun.strftime('%Y%m%dT%H%M%SZ')}.cell"
    with writing(path, seal, cell=cell, version=version("tenantry"), begun_at=begun) as archive:
        progress("the platform's files, its authorities and the key of its key manager")
        archive.add_tree("home", site.layout.home, but=_HOME_LEFT_OUT)
        archive.add_tree("parts", site.layout.parts, but=_PARTS_LEFT_OUT)
        with keys.database_account(fleet.cell.spec.database.connection) as account:
            size = archive.add_stream("mariadb", MariaDbCopy(MariaDB(site, OpenBao(site))).read(account))
        progress(f"MariaDB: {size / 2**20:.0f} MiB")
        with fleet.registry.exclusive():
            moment = datetime.now(UTC)
            archive.add_tree("cell", fleet.folder, but=("tenants/.lock",))
            size = archive.add_stream("etcd", EtcdCopy(Etcd(site, Authorities.of(site.layout.authorities))).read())
            progress(f"etcd: {size / 2**20:.0f} MiB")
            archive.add("rabbitmq", RabbitMqCopy(RabbitMQ(site)).read(_rabbitmq_admin(fleet)))
            size = archive.add_stream("openbao", keys.read())
            progress(f"OpenBao: {size / 2**20:.1f} MiB")
        archive.add("moment", json.dumps({"moment": moment.isoformat(), "copier": account.username}).encode())
    return Taken(path=path, moment=moment, size=path.stat().st_size, seconds=time.monotonic() - started)


def _rabbitmq_admin(fleet: Fleet) -> Account:
    mount = fleet.cell.spec.openbao.kv_mount
    found = openbao().kv_read(mount, "cell/rabbitmq")
    if found is None or "password" not in found[0]:
        raise DependencyUnavailable(
            "OpenBao holds no login of RabbitMQ's administrator",
            where=f"{mount}/cell/rabbitmq",
            hint="set the cell up first: `tenantry cell up`",
        )
    return Account(username=found[0]["username"], password=found[0]["password"])
