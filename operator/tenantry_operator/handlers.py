"""What Kopf calls: each event of a Tenant keeps its body and puts its name into the queue; nothing else happens here.

A handler that worked would hide an update and a delete of its object until its end. `on.event` alone writes nothing to
the objects: no finalizer, no annotation, no progress.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import kopf

from tenantry.engine.cluster import Cluster
from tenantry.tenancy.schema import GROUP, PLURAL, VERSION

__all__ = ["registry", "settings"]

Seen = Callable[[Mapping[str, Any], str | None], None]


def registry(cluster: Cluster, seen: Seen) -> kopf.OperatorRegistry:
    """cluster: whose Tenants. seen: called with a Tenant's body and the event's type, None for one that was listed. It
    must not block."""
    made = kopf.OperatorRegistry()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=made)
    async def _event(event: kopf.RawEvent, **_: Any) -> None:
        seen(cast("Mapping[str, Any]", event["object"]), event["type"])

    @kopf.on.login(registry=made)
    def _login(**_: Any) -> kopf.ConnectionInfo:
        # Asked again when a token is refused. Kopf's own way reads KUBECONFIG as it was when the client was imported.
        found = cluster.configuration
        header = str(found.get_api_key_with_prefix("BearerToken") or "")
        scheme, _space, token = header.rpartition(" ")
        return kopf.ConnectionInfo(
            server=cluster.address,
            ca_path=found.ssl_ca_cert,
            certificate_path=found.cert_file,
            private_key_path=found.key_file,
            scheme=scheme or None,
            token=token or None,
        )

    return made


def settings() -> kopf.OperatorSettings:
    """No events from log lines, no watching of namespaces and definitions: that needs rights we do without."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.scanning.disabled = True
    made.queueing.idle_timeout = 1.0
    return made
