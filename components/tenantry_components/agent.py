"""How credentials come into a pod: `bao agent` beside the process, in manifests. Pure.

The agent is the only container with a token (projected, for OpenBao's audience alone, ten minutes). It logs in with
it and renders the workload's configuration into a memory volume, which the process reads. In a Deployment it is a
native sidecar that renders again when a credential rotates; run.sh ends the process then, and the kubelet starts it
anew with the new files. (Sharing the process namespace, so that the agent could signal by itself, would let the
process read the agent's token through /proc; a liveness probe would take the place of the module's own.) In a Job
it is a plain init container that ends after rendering once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import PurePosixPath

from tenantry.tenancy.cell import CellSpec
from tenantry.tenancy.quota import AGENT
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import Configuration
from tenantry_components.manifest import Manifest, container_security, metadata, resources

__all__ = [
    "CA_FOLDER",
    "RENDERED_FOLDER",
    "RUN_SCRIPT",
    "agent_container",
    "agent_settings",
    "agent_volumes",
    "ca_manifests",
    "ca_mount",
    "configuration_digest",
    "configuration_manifest",
    "rendered_mounts",
    "run_mounts",
]

CA_FOLDER = "/etc/tenantry/ca"
RENDERED_FOLDER = "/run/tenantry/configuration"
RUN_SCRIPT = "/run/tenantry/bin/run.sh"

_AGENT_FOLDER = "/etc/tenantry/agent"
_TOKEN_FOLDER = "/var/run/secrets/tenantry"  # noqa: S105 (a folder, no secret)
_TOKEN_SECONDS = 600
_TENANT_ROLE = "tenant"
_RENDERED_MIB = 1
_RUN_FILE = "run.sh"


def configuration_manifest(
    spec: TenantSpec, name: str, templates: Sequence[Configuration], *, proxy_port: int | None = None
) -> Manifest:
    """The ConfigMap that an agent reads: its own configuration, the templates (no secrets: paths of them), run.sh.

    proxy_port: the agent also answers OpenBao's API there, on the pod's loopback, with its own login; None: not.
    """
    data = {f"template-{index}": template.template for index, template in enumerate(templates)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(spec, name),
        "data": {
            "agent.json": agent_settings(spec.cell.spec, templates, proxy_port=proxy_port),
            _RUN_FILE: files("tenantry_components").joinpath(_RUN_FILE).read_text(encoding="utf-8"),
            **data,
        },
    }


def agent_settings(
    cell: CellSpec, templates: Sequence[Configuration], *, role: str = _TENANT_ROLE, proxy_port: int | None = None
) -> str:
    """The agent's own configuration, JSON. role: the one of OpenBao's Kubernetes login that it asks for."""
    openbao = cell.openbao
    server: Manifest = {"address": openbao.address, "retry": {"num_retries": 5}}
    if cell.ca_bundle:
        server["ca_cert"] = f"{CA_FOLDER}/ca.pem"
    result: Manifest = {
        "vault": server,
        "auto_auth": {
            # In JSON, a block that may stand several times is a list.
            "method": [
                {
                    "type": "kubernetes",
                    "mount_path": f"auth/{openbao.kubernetes_mount}",
                    "config": {"role": role, "token_path": f"{_TOKEN_FOLDER}/token"},
                }
            ]
        },
        # Ends when OpenBao refuses for good; the kubelet starts it again and the pod's status says so.
        "template_config": {"exit_on_retry_failure": True, "static_secret_render_interval": "1m"},
    }
    if templates:  # the agent refuses an empty list
        result["template"] = [
            {
                "source": f"{_AGENT_FOLDER}/template-{index}",
                "destination": _rendered(index, template),
                "perms": "0440",
                "error_on_missing_key": True,
            }
            for index, template in enumerate(templates)
        ]
    if proxy_port is not None:
        result["api_proxy"] = {"use_auto_auth_token": True}
        result["listener"] = [{"tcp": {"address": f"127.0.0.1:{proxy_port}", "tls_disable": True}}]
    return json.dumps(result, indent=1, sort_keys=True)


def _rendered(index: int, template: Configuration) -> str:
    return f"{RENDERED_FOLDER}/{index}-{PurePosixPath(template.path).name}"


def configuration_digest(*manifests: Manifest) -> str:
    """Short digest of ConfigMaps' content: on a pod template, a change of it rolls the pods."""
    text = json.dumps([manifest["data"] for manifest in manifests], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def ca_manifests(spec: TenantSpec) -> tuple[Manifest, ...]:
    """The authority of the cell's shared services, public; nothing when their certificates are publicly trusted."""
    if not spec.cell.spec.ca_bundle:
        return ()
    return (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(spec, "cell-ca"),
            "data": {"ca.pem": spec.cell.spec.ca_bundle},
        },
    )


def agent_container(
    cell: CellSpec, templates: Sequence[Configuration], *, stays: bool, proxy_port: int | None = None
) -> Manifest:
    """The agent as an init container. stays: a native sidecar for the pod's whole life; else it renders and ends."""
    container: Manifest = {
        "name": "agent",
        "image": cell.images.located(cell.images.agent),
        "command": ["bao", "agent", f"-config={_AGENT_FOLDER}/agent.json"],
        "env": [{"name": "HOME", "value": RENDERED_FOLDER}],
        "resources": resources(AGENT),
        "volumeMounts": [
            {"name": "agent", "mountPath": _AGENT_FOLDER, "readOnly": True},
            {"name": "openbao-token", "mountPath": _TOKEN_FOLDER, "readOnly": True},
            {"name": "rendered", "mountPath": RENDERED_FOLDER},
            *ca_mount(cell),
        ],
        "securityContext": container_security(),
    }
    if not stays:
        container["command"].append("-exit-after-auth")
        return container
    checks = [f"test -s {_rendered(index, template)}" for index, template in enumerate(templates)]
    if proxy_port is not None:
        # Not every busybox has a `nc` that only looks.
        checks.append(f"wget -q -O /dev/null http://127.0.0.1:{proxy_port}/v1/sys/health?standbyok=true")
    container["restartPolicy"] = "Always"
    # The process starts when its configuration stands, and not before.
    container["startupProbe"] = {
        "exec": {"command": ["/bin/sh", "-c", " && ".join(checks)]},
        "periodSeconds": 1,
        "failureThreshold": 120,
    }
    return container


def agent_volumes(cell: CellSpec, config_map: str) -> list[Manifest]:
    """The volumes that agent_container, rendered_mounts, run_mounts and ca_mount name."""
    volumes: list[Manifest] = [
        {"name": "agent", "configMap": {"name": config_map}},
        {
            "name": "openbao-token",
            "projected": {
                "defaultMode": 0o440,
                "sources": [
                    {
                        "serviceAccountToken": {
                            "audience": cell.openbao.audience,
                            "expirationSeconds": _TOKEN_SECONDS,
                            "path": "token",
                        }
                    }
                ],
            },
        },
        {"name": "rendered", "emptyDir": {"medium": "Memory", "sizeLimit": f"{_RENDERED_MIB}Mi"}},
    ]
    if cell.ca_bundle:
        volumes.append({"name": "cell-ca", "configMap": {"name": "cell-ca"}})
    return volumes


def ca_mount(cell: CellSpec) -> list[Manifest]:
    """Where a container finds the cell's authority; nothing when the cell's certificates are publicly trusted."""
    if not cell.ca_bundle:
        return []
    return [{"name": "cell-ca", "mountPath": CA_FOLDER, "readOnly": True}]


def rendered_mounts(templates: Sequence[Configuration]) -> list[Manifest]:
    """The whole folder, and each file at the path where the workload looks for it."""
    return [
        {"name": "rendered", "mountPath": RENDERED_FOLDER, "readOnly": True},
        *(
            {
                "name": "rendered",
                "mountPath": template.path,
                "subPath": PurePosixPath(_rendered(index, template)).name,
                "readOnly": True,
            }
            for index, template in enumerate(templates)
        ),
    ]


def run_mounts() -> list[Manifest]:
    """run.sh alone, without the agent's own files."""
    return [{"name": "agent", "mountPath": RUN_SCRIPT, "subPath": _RUN_FILE, "readOnly": True}]
