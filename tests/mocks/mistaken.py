"""Mistakes in our components, one for each rule that a tenant's or a cell's program can break: a copy of their source,
changed line by line, which a process imports in place of ours. `python -m tests.mocks.mistaken CELL [TENANT]` prints
what the embedded engine says there of a cell file, or of a tenant file in it, and what the program asks for."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import tenantry_components
from tenantry.engine import EmbeddedEngine, Stack
from tenantry.engine.evaluating import evaluate
from tenantry.engine.properties import plain
from tenantry.fleet.programs import cell_program, tenant_program
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.errors import PolicyViolated
from tenantry.tenancy.manifest import load_cell, load_tenant
from tenantry.tenancy.resolving import resolve

__all__ = ["CELL_MISTAKES", "COMPONENT_MISTAKES", "EXAMPLE", "Mistake", "anonymous", "mistaken"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """rule: what it breaks. right, wrong: texts of the module."""

    rule: str
    module: str
    right: str
    wrong: str


EXAMPLE = Catalogue.root() / "examples" / "globex-bank.yaml"
"""The tenant with everything of its own: the most components run."""
_PLAIN_ENVIRONMENT = "for name, value in module.environment]"

COMPONENT_MISTAKES = (
    Mistake("namespace-without-default-deny", "network_rules", "{}, ingress=[], egress=[])", "{}, ingress=[])"),
    Mistake(
        "network-policy-too-wide",
        "network_rules",
        'egress=[peer_rule("to", [spec.cell.spec.kubernetes.dns_peer], 53, dns=True)]',
        "egress=[{}]",
    ),
    Mistake("namespace-not-restricted", "namespace", '"restricted"', '"baseline"'),
    Mistake("namespace-without-quota", "namespace", '"services.loadbalancers": "0",', ""),
    Mistake("namespace-without-limit-defaults", "namespace", "        _limits(spec),\n", ""),
    Mistake(
        "object-outside-the-tenant",
        "namespace",
        '"metadata": metadata(spec, name),',
        '"metadata": metadata(spec, name) | {"namespace": "default"},',
    ),
    Mistake("host-access", "pod", '"enableServiceLinks": False,', '"enableServiceLinks": False, "hostNetwork": True,'),
    Mistake("privileged-container", "manifest", '"privileged": False', '"privileged": True'),
    Mistake(
        "privilege-escalation", "manifest", '"allowPrivilegeEscalation": False', '"allowPrivilegeEscalation": True'
    ),
    Mistake("container-as-root", "pod", '"runAsNonRoot": True', '"runAsNonRoot": False'),
    Mistake("unconfined-container", "pod", '{"type": "RuntimeDefault"}', '{"type": "Unconfined"}'),
    Mistake(
        "foreign-volume",
        "own_server",
        '"persistentVolumeClaim": {"claimName": DATABASE}',
        '"nfs": {"server": "files.example.net", "path": "/"}',
    ),
    Mistake(
        "kubernetes-token-in-tenant",
        "own_server",
        '"automountServiceAccountToken": False',
        '"automountServiceAccountToken": True',
    ),
    Mistake("shared-processes", "own_server", '"enableServiceLinks": False', '"shareProcessNamespace": True'),
    Mistake("container-without-limits", "manifest", '"memory": f"{footprint.memory_limit_mib}Mi",', ""),
    Mistake("unbounded-scratch", "own_server", '{"sizeLimit": "256Mi"}', "{}"),
    Mistake("floating-image", "own_server", "spec.cell.spec.images.located(spec.cell.spec.images.redis)", '"redis"'),
    Mistake(
        "foreign-image",
        "own_server",
        "spec.cell.spec.images.located(spec.cell.spec.images.mariadb)",
        '"images.example.net/mariadb:11.8"',
    ),
    Mistake("public-service", "own_server", '"type": "ClusterIP"', '"type": "NodePort"'),
    Mistake(
        "ingress-without-tls",
        "module",
        '"pulumi.com/skipAwait": "true",',
        '"nginx.ingress.kubernetes.io/ssl-redirect": "false",',
    ),
    Mistake("ingress-too-wide", "module", '{"host": host, "http"', '{"http"'),
    Mistake(
        "credential-in-secret",
        "namespace",
        "*_viewers(spec),",
        '*_viewers(spec), {"apiVersion": "v1", "kind": "Secret", "metadata": metadata(spec, "login")},',
    ),
    Mistake(
        "credential-in-environment",
        "pod",
        _PLAIN_ENVIRONMENT,
        f'{_PLAIN_ENVIRONMENT} + [{{"name": "DB_PASSWORD", "value": "hunter2"}}]',
    ),
    Mistake(
        "plain-connection",
        "own_server",
        '"name": "MARIADB_AUTO_UPGRADE", "value": "1"',
        '"name": "QUEUE", "value": "amqp://q"',
    ),
    Mistake("database-not-encrypted", "own_server", '"encrypt_binlog": "ON"', '"encrypt_binlog": "OFF"'),
    Mistake("wildcard-role", "namespace", '["ingresses", "networkpolicies"]', '["*"]'),
    Mistake("powerful-role-in-tenant", "namespace", '["pods", "pods/log",', '["pods", "secrets",'),
    Mistake("broad-binding", "namespace", 'f"tenantry:{spec.names.namespace}:viewers"', '"system:authenticated"'),
    # The provider itself takes no other word.
    Mistake("loose-account", "providers/rabbitmq", 'permissions: str = Field(pattern="^exact$")', "permissions: str"),
    Mistake("loose-account", "providers/rabbitmq", '"permissions": "exact",', '"permissions": "any",'),
    Mistake("open-egress", "providers/egress_entry", "StringConstraints(pattern=_HOST)", "StringConstraints()"),
    Mistake("open-egress", "egress", "hosts=hosts,", 'hosts=["*:443"],'),
    Mistake("name-of-another-tenant", "keys", "key_name=spec.names.transit_key", 'key_name="shared"'),
    Mistake("unprotected-data", "manifest", "protect=keep", "protect=False"),
    Mistake("data-without-backup", "module", "{} if spec.hold is Hold.NONE else", "{} if False else"),
    Mistake("backup-kept-too-short", "backup", "str(spec.backup.keep_daily)", '"3"'),
    Mistake("backup-not-sealed", "backup", '"transit_key": names.transit_key', '"transit_key": "shared"'),
    Mistake("data-outside-residency", "namespace", '",".join(cell.residency)', '"us"'),
    Mistake("missing-cost-labels", "network_rules", "metadata(spec, name),", 'metadata(spec, name) | {"labels": {}},'),
)


CELL_MISTAKES = (
    Mistake("unbound-login", "cell_services", "namespace_selector=namespaces,", 'namespace_selector="",'),
    Mistake(
        "wildcard-openbao-policy",
        "cell_services",
        "text=Template(text).safe_substitute(names),",
        """text='path "kv/data/*" { capabilities = ["read"] }',""",
    ),
    Mistake(
        "wildcard-sql-grant",
        "providers/database_connection",
        '"CREATE USER, CONNECTION ADMIN, SHOW DATABASES ON *.*"',
        '"CREATE USER, SELECT ON *.*"',
    ),
)
"""In components that a cell alone has."""


def mistaken(folder: Path, *mistakes: Mistake) -> Mapping[str, str]:
    """The environment in which a process has the components with these mistakes, copied into `folder`."""
    package = folder / "tenantry_components"
    shutil.copytree(Path(tenantry_components.__path__[0]), package)
    for one in mistakes:
        module = package / f"{one.module}.py"
        text = module.read_text(encoding="utf-8")
        assert one.right in text, one
        module.write_text(text.replace(one.right, one.wrong, 1), encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", "")))}


def anonymous(text: str) -> str:
    """A text without the incarnation of the example, which each way of running the policies decides for itself."""
    return re.sub(r"(globex[-_]bank[-_])[0-9a-z]{8}", r"\1INCARNATION", text)


def main(cell_file: str, tenant_file: str | None = None) -> None:
    cell = load_cell(Path(cell_file))
    program = cell_program(cell)
    if tenant_file is not None:
        tenant, day = load_tenant(Path(tenant_file)), date(2026, 11, 24)
        spec = resolve(tenant, catalogue=Catalogue.load(), cell=cell, incarnation="a1b2c3d4", today=day)
        program = tenant_program(spec)
    with tempfile.TemporaryDirectory() as backend, EmbeddedEngine() as engine:
        stack = Stack(project="tenantry", name="x", backend=Path(backend), secrets_provider="hashivault://state-x")
        try:
            engine.preview(stack, program)
        except PolicyViolated as refused:
            violations = [(one.rule, one.message) for one in refused.violations]
        desired = evaluate(stack, program, known_ids={}, emit=lambda _event: None).resources
    resources = [
        {
            "urn": one.urn,
            "type": one.type,
            "name": one.name,
            "inputs": plain(dict(one.inputs)),
            "protect": one.protect,
        }
        for one in desired
        if not one.is_logical
    ]
    print(json.dumps({"refused": violations, "resources": resources}))


if __name__ == "__main__":
    main(*sys.argv[1:])
