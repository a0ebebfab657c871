"""Data is sealed where it lies and while it travels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tenantry_policies.rule import Rule, Sentences, resource_rule
from tenantry_policies.view import POD_OWNERS, Resource, items, mapping

__all__ = ["RULES"]

_OURS = (
    "tenantry:Account",
    "tenantry:AdoptedRabbitMq",
    "tenantry:AdoptedRedis",
    "tenantry:CacheUser",
    "tenantry:DatabaseConnection",
    "tenantry:MessagingUser",
    "tenantry:OwnServer",
    "tenantry:Schema",
    "tenantry:Vhost",
)
_PLAIN = re.compile(r"\b(?:http|amqp|redis|mysql|mariadb|ldap|smtp|ftp)://([^/\s:@\"']*@)?([^/\s:\"']+)")
_LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}

_AT_REST = {
    "innodb_encrypt_tables": ("FORCE",),
    "innodb_encrypt_log": ("ON", "1"),
    "encrypt_binlog": ("ON", "1"),
    "encrypt_tmp_files": ("ON", "1"),
    "aria_encrypt_tables": ("ON", "1"),
    "require_secure_transport": ("ON", "1"),
}


@resource_rule(*_OURS, *POD_OWNERS, "ConfigMap")
def plain_connection(resource: Resource) -> Sentences:
    """Connections to servers are encrypted; plain HTTP, AMQP, Redis or SQL is for the pod's own loopback alone.

    What travels in plain text is read by whoever can listen on the cluster's network.
    """
    for where, value in _addresses(resource):
        for match in _PLAIN.finditer(value):
            host = match.group(2)
            if host.lower() not in _LOOPBACK:
                scheme = match.group(0).partition(":")[0]
                yield f"{where} speaks plain {scheme} to {host}; use its encrypted form"


def _addresses(resource: Resource) -> Iterator[tuple[str, str]]:
    """(where, value) of what names a server."""
    if resource.key == "ConfigMap":
        # Of files only the agent's settings name servers for certain; others are texts of all sorts.
        text = mapping(resource.inputs.get("data")).get("agent.json")
        if text is not None:
            yield "agent.json", _openbao_of(str(text))
        return
    for container in resource.containers:
        for variable in (mapping(one) for one in items(container.get("env"))):
            value = variable.get("value")
            if isinstance(value, str):
                yield f"{variable.get('name')} of container {container.get('name')}", value
    if not resource.is_kubernetes:
        for name in resource.inputs:
            if name in ("address", "management_url", "host"):
                yield name, str(resource.inputs[name])


def _openbao_of(settings: str) -> str:
    try:
        document: Any = json.loads(settings)
    except ValueError:
        return ""
    return str(mapping(mapping(document).get("vault")).get("address") or "")


@resource_rule("ConfigMap")
def database_not_encrypted(configuration: Resource) -> Sentences:
    """A database server of a tenant's own encrypts its tables, logs and temporary files, and takes TLS alone.

    The tenant's at-rest key is what makes a copied volume, or one that was given back, worthless.
    """
    text = mapping(configuration.inputs.get("data")).get("server.cnf")
    if text is None:
        return
    settings = dict(re.findall(r"^\s*([a-z_]+)\s*=\s*(\S+)", str(text), re.MULTILINE))
    for name, values in _AT_REST.items():
        if settings.get(name, "").upper() not in values:
            yield f"server.cnf leaves {name} at {settings.get(name, 'its default')}; set it to {values[0]}"


RULES: tuple[Rule, ...] = (plain_connection, database_not_encrypted)
