"""One search over all systems, side by side. A system that does not answer fails the search: unseen is not gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tenantry.inventory.files import search_files, search_store
from tenantry.inventory.findings import Inventory, Kept, Searched, Subject
from tenantry.inventory.kubernetes import search_kubernetes
from tenantry.inventory.mariadb import search_mariadb
from tenantry.inventory.openbao import OpenBaoReader, search_openbao
from tenantry.inventory.rabbitmq import search_rabbitmq
from tenantry.inventory.redis import search_redis
from tenantry.tenancy.cell import Cell

__all__ = ["SYSTEMS", "search"]

SYSTEMS = ("files", "kubernetes", "mariadb", "openbao", "rabbitmq", "redis", "store")


def search(subject: Subject, *, cell: Cell, root: Path, token: str, kept: Iterable[Kept] = ()) -> Inventory:
    """Search every system. root: the cell's folder on this machine. token: OpenBao's, of the policy
    `tenantry-deprovisioner`. kept: what may be found.

    Raises DependencyUnavailable when any of them cannot be searched whole.
    """
    reader = OpenBaoReader(address=cell.spec.openbao.address, token=token)
    searches: Mapping[str, Callable[[], Searched]] = {
        "files": lambda: search_files(subject, root),
        "kubernetes": lambda: search_kubernetes(subject),
        "mariadb": lambda: search_mariadb(subject, cell, reader),
        "openbao": lambda: search_openbao(subject, reader),
        "rabbitmq": lambda: search_rabbitmq(subject, cell, reader),
        "redis": lambda: search_redis(subject, cell, reader),
        "store": lambda: search_store(subject, cell),
    }
    with ThreadPoolExecutor(max_workers=len(SYSTEMS)) as pool:
        return Inventory.of(list(pool.map(lambda name: searches[name](), SYSTEMS)), kept)
