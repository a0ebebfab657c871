"""The tenant's messaging: a virtual host and a user of its own on the cell's RabbitMQ, or nothing at all."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from tenantry.tenancy.spec import MessagingKind, TenantSpec
from tenantry_components.providers.rabbitmq import User, Vhost

__all__ = ["Messaging"]


class Messaging(pulumi.ComponentResource):
    """spec: the tenant. With the database transport, messages are rows in its schema and this makes nothing.

    Outputs: `kind`; `vhost`, None with the database transport.
    """

    def __init__(self, name: str, spec: TenantSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tenantry:tenant:Messaging", name, None, opts)
        rabbit = spec.messaging.kind is MessagingKind.RABBITMQ
        self.ready: Sequence[pulumi.Resource] = self._on_rabbitmq(spec) if rabbit else ()
        self.kind = pulumi.Output.from_input(spec.messaging.kind.value)
        self.vhost = pulumi.Output.from_input(spec.names.messaging_vhost if rabbit else None)
        self.register_outputs({"kind": self.kind, "vhost": self.vhost})

    def _on_rabbitmq(self, spec: TenantSpec) -> Sequence[pulumi.Resource]:
        management_url = spec.cell.spec.messaging.management_url
        kv_mount = spec.cell.spec.openbao.kv_mount
        vhost = Vhost(
            "messaging",
            management_url=management_url,
            vhost=spec.names.messaging_vhost,
            max_queues=spec.messaging.max_queues,
            max_connections=spec.messaging.max_connections,
            kv_mount=kv_mount,
            opts=pulumi.ResourceOptions(parent=self),
        )
        user = User(
            "messaging",
            management_url=management_url,
            username=spec.names.messaging_user,
            vhost=spec.names.messaging_vhost,
            kv_mount=kv_mount,
            kv_path=spec.names.kv_path,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[vhost]),
        )
        return (vhost, user)
