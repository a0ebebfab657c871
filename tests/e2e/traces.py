"""What can be found of a tenant: in Kubernetes, MariaDB, OpenBao, Redis, RabbitMQ and on the disk."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import redis
import requests

from tenantry.tenancy.manifest import load_cell
from tests.e2e.user import User

__all__ = ["Traces", "look"]

_KINDS = (
    "deployments,statefulsets,services,configmaps,secrets,serviceaccounts,networkpolicies,resourcequotas,limitranges,"
    "roles,rolebindings,ingresses,cronjobs,horizontalpodautoscalers,poddisruptionbudgets,persistentvolumeclaims"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """By system: the names of all that carries a tenant's name, with the incarnation put as `ID`.

    incarnations: how many lives of the tenant the names speak of.
    """

    found: dict[str, list[str]] = field(default_factory=dict)
    incarnations: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return any(self.found.values())


def look(user: User, tenants: list[str]) -> dict[str, Traces]:
    """Everything that the platform's systems and the data folder hold, told apart by tenant."""
    everything = _everything(user)
    return {name: _of(name, everything) for name in tenants}


def _of(name: str, everything: dict[str, list[str]]) -> Traces:
    found: dict[str, list[str]] = {}
    incarnations: set[str] = set()
    for system, listed in everything.items():
        mine = []
        for entry in listed:
            for spelling in (name, name.replace("-", "_")):
                before, hit, after = entry.partition(spelling)
                # One tenant's name may begin like another's: what follows is nothing, or an incarnation.
                if not hit or (after[:1] not in {"", "-", "_", ".", "/"} or before[-1:].isalnum()):
                    continue
                word = after[1:9]
                if after[:1] in {"-", "_"} and len(word) == 8 and word.isalnum():
                    incarnations.add(word)
                    entry = entry.replace(word, "ID")
                mine.append(entry.replace(spelling, "NAME"))
                break
        found[system] = sorted(mine)
    return Traces(found=found, incarnations=frozenset(incarnations))


def _everything(user: User) -> dict[str, list[str]]:
    environment = user.json("local", "env")
    asked = user.shell(
        "kubectl get namespaces,clusterroles,clusterrolebindings -o name\n"
        "echo ---\n"
        f"kubectl get {_KINDS} -A -o json\n"
        "echo ---\n"
        "for path in transit/keys kv/metadata/tenants database/static-roles auth/kubernetes/role sys/policies/acl; do\n"
        '  bao list -format=json "$path" || true\n'
        "  echo ---\n"
        "done\n"
        "bao kv get -format=json kv/cell/redis\n"
        "echo ---\n"
        "bao read -format=json database/static-creds/tenantry-provisioner\n"
        "echo ---\n"
        "bao kv get -format=json kv/cell/rabbitmq"
    ).stdout.split("---\n")
    names, objects, *listed, cache, provisioner, messaging = asked
    return {
        "cluster": names.split(),
        "objects": [_title(one) for one in json.loads(objects)["items"]],
        "openbao": [entry for text in listed if text.strip() for entry in json.loads(text)],
        "mariadb": _mariadb(environment, json.loads(provisioner)["data"]),
        "redis": _redis(user, environment, json.loads(cache)["data"]["data"]),
        "rabbitmq": _rabbitmq(environment, json.loads(messaging)["data"]["data"]),
        "disk": [
            str(path.relative_to(user.home))
            for path in (user.home / "cells").rglob("*")
            if path.is_file() and "/history/" not in str(path)
        ],
    }


def _title(one: dict[str, Any]) -> str:
    return f"{one['metadata']['namespace']}/{one['kind']}/{one['metadata']['name']}"


def _mariadb(environment: dict[str, str], login: dict[str, str]) -> list[str]:
    connection = pymysql.connect(
        host=environment["MYSQL_HOST"],
        port=int(environment["MYSQL_TCP_PORT"]),
        user=login["username"],
        password=login["password"],
        ssl_ca=environment["VAULT_CACERT"],
        connect_timeout=10,
        read_timeout=10,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("select schema_name from information_schema.schemata union all select user from mysql.user")
        return [str(row[0]) for row in cursor.fetchall()]


def _redis(user: User, environment: dict[str, str], login: dict[str, str]) -> list[str]:
    (part,) = [one for one in user.json("local", "status")["parts"] if one["name"] == "redis"]
    host, _, port = part["address"].rpartition(":")
    with redis.Redis(
        host=host,
        port=int(port),
        username=login["username"],
        password=login["password"],
        ssl=True,
        ssl_ca_certs=environment["VAULT_CACERT"],
        socket_timeout=10,
    ) as client:
        return [str(name) for name in client.acl_users()]


def _rabbitmq(environment: dict[str, str], login: dict[str, str]) -> list[str]:
    url = load_cell(Path(environment["TENANTRY_CELL"])).spec.messaging.management_url
    found: list[str] = []
    with requests.Session() as session:
        session.trust_env = False
        session.verify = environment["VAULT_CACERT"]
        session.auth = (login["username"], login["password"])
        for kind in ("vhosts", "users", "permissions", "policies", "queues"):
            answer = session.get(f"{url}/api/{kind}", timeout=10)
            answer.raise_for_status()
            found += [f"{kind}/{one.get('vhost', '')}/{one.get('name', one.get('user', ''))}" for one in answer.json()]
    return found
