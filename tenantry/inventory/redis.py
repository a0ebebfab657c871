"""The shared Redis, searched: accounts, keys, channels and connections. Keys are scanned, which blocks nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis
import redis.exceptions

from tenantry.inventory.findings import Finding, Searched, Subject
from tenantry.inventory.openbao import OpenBaoReader
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["search_redis"]

SYSTEM = "redis"
_BATCH = 1000


def search_redis(subject: Subject, cell: Cell, reader: OpenBaoReader) -> Searched:
    server = cell.spec.cache
    login = reader.secret(cell.spec.openbao.kv_mount, "cell/redis")
    if login is None or "password" not in login:
        raise DependencyUnavailable("OpenBao has no login to Redis for the inventory", where="cell/redis")
    connection: redis.Redis = redis.Redis(
        host=server.host,
        port=server.port,
        username=login["username"],
        password=login["password"],
        ssl=True,
        ssl_ca_data=cell.spec.ca_bundle or None,
        ssl_cert_reqs="required",
        socket_connect_timeout=3,
        socket_timeout=30,
        decode_responses=True,
        encoding_errors="replace",
    )
    looked_at, findings = 0, []
    try:
        with connection:
            for kind, name, text in _things(connection, subject):
                looked_at += 1
                if subject.marks(text):
                    findings.append(Finding(system=SYSTEM, kind=kind, name=name))
            looked_at += int(connection.dbsize())  # type: ignore[arg-type]
    except redis.exceptions.RedisError as error:
        raise DependencyUnavailable(
            f"the inventory cannot search Redis ({type(error).__name__})",
            where=f"{server.host}:{server.port}",
            hint="is it running, and healthy?",
        ) from None
    return Searched(system=SYSTEM, looked_at=looked_at, findings=tuple(findings))


def _things(connection: redis.Redis, subject: Subject) -> Iterator[tuple[str, str, str]]:
    """(kind, name, text to search)."""
    pattern = f"*{subject.incarnation}*"
    # The client's types mix the answers of its asynchronous twin in.
    accounts: Any = connection.acl_list()
    for line in accounts:
        yield "account", line.split(" ")[1], line
    channels: Any = connection.pubsub_channels(pattern)
    for name in channels:
        yield "channel", str(name), str(name)
    clients: Any = connection.client_list()
    for one in clients:
        yield "connection", f"{one.get('addr')} as {one.get('user')}", f"{one.get('user')} {one.get('name')}"
    settings: Any = connection.config_get("databases")
    for number in range(int(settings["databases"])):
        connection.execute_command("SELECT", number)  # type: ignore[no-untyped-call]
        for key in connection.scan_iter(match=pattern, count=_BATCH):
            yield "key", str(key), str(key)
