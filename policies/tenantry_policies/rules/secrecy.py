"""Credentials: they live in OpenBao and in memory, never in a Kubernetes object."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tenantry_policies.rule import Rule, Sentences, resource_rule
from tenantry_policies.view import POD_OWNERS, Resource, items, mapping, named

__all__ = ["RULES"]

_TLS = "kubernetes.io/tls"
_SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|DSN)$", re.IGNORECASE)
_LOGIN_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@", re.IGNORECASE)


@resource_rule("Secret")
def credential_in_secret(secret: Resource) -> Sentences:
    """No credential stands in a Kubernetes Secret; the certificate of an Ingress is the one exception.

    Secrets are readable by whoever may list them, and stay in etcd and its backups after the tenant's keys are gone.
    """
    if secret.inputs.get("type") != _TLS:
        yield "a credential would stand in a Secret; keep it in OpenBao and let the agent render it into memory"


@resource_rule(*POD_OWNERS)
def credential_in_environment(owner: Resource) -> Sentences:
    """No credential stands in a container's environment, neither as a value nor from a Secret.

    A pod's specification is read by many, and an environment is inherited, logged and dumped.
    """
    for container in owner.containers:
        where = f"container {container.get('name')}"
        for source in (mapping(one) for one in items(container.get("envFrom"))):
            if named(source, "secretRef"):
                yield f"{where} takes its environment from a Secret; let the agent render a file into memory"
        for variable in (mapping(one) for one in items(container.get("env"))):
            yield from _told(where, str(variable.get("name")), variable)


def _told(where: str, name: str, variable: Any) -> Iterator[str]:
    if named(mapping(variable.get("valueFrom")), "secretKeyRef"):
        yield f"{where} takes {name} from a Secret; let the agent render a file into memory"
    value = str(variable.get("value") or "") if named(variable, "value") else ""
    if (value and _SECRET_NAME.search(name)) or _LOGIN_IN_URL.search(value):
        yield f"{where} has a credential in {name}; let the agent render a file into memory"


RULES: tuple[Rule, ...] = (credential_in_secret, credential_in_environment)
