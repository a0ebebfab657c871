"""RabbitMQ, searched by its management API: every list that it gives, by each entry's whole text."""

from __future__ import annotations

import json
import ssl

import urllib3

from tenantry.inventory.findings import Finding, Searched, Subject
from tenantry.inventory.openbao import OpenBaoReader
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["search_rabbitmq"]

SYSTEM = "rabbitmq"
_LISTS = {
    "vhosts": "virtual host",
    "users": "user",
    "permissions": "permission",
    "topic-permissions": "topic permission",
    "policies": "policy",
    "operator-policies": "operator policy",
    "vhost-limits": "limit of a virtual host",
    "user-limits": "limit of a user",
    "queues": "queue",
    "exchanges": "exchange",
    "bindings": "binding",
    "parameters": "parameter",
    "global-parameters": "global parameter",
    "connections": "connection",
}
_NAMED_BY = ("name", "vhost", "user", "queue", "source")


def search_rabbitmq(subject: Subject, cell: Cell, reader: OpenBaoReader) -> Searched:
    url = cell.spec.messaging.management_url.rstrip("/")
    login = reader.secret(cell.spec.openbao.kv_mount, "cell/rabbitmq")
    if login is None or "password" not in login:
        raise DependencyUnavailable("OpenBao has no login to RabbitMQ for the inventory", where="cell/rabbitmq")
    headers = urllib3.make_headers(basic_auth=f"{login['username']}:{login['password']}")
    context = ssl.create_default_context(cadata=cell.spec.ca_bundle or None)
    looked_at, findings = 0, []
    with urllib3.PoolManager(ssl_context=context, timeout=urllib3.Timeout(connect=3, read=60)) as pool:
        for path, kind in _LISTS.items():
            try:
                answer = pool.request("GET", f"{url}/api/{path}", headers=headers, retries=2, redirect=False)
            except urllib3.exceptions.HTTPError as error:
                raise _unavailable(url, type(error).__name__) from None
            if answer.status != 200:
                raise _unavailable(url, f"{answer.status} to a list of {path}")
            for entry in json.loads(answer.data):
                looked_at += 1
                if subject.marks(json.dumps(entry)):
                    name = " ".join(str(entry[field]) for field in _NAMED_BY if entry.get(field))
                    findings.append(Finding(system=SYSTEM, kind=kind, name=name))
    return Searched(system=SYSTEM, looked_at=looked_at, findings=tuple(findings))


def _unavailable(url: str, reason: str) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"the inventory cannot search RabbitMQ ({reason})", where=url, hint="is it running, and healthy?"
    )
