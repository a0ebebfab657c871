"""One tenant's whole stack: the one component that composes the others.

The order reads from top to bottom: the fence (namespace, network), what is in OpenBao, the servers, the workload,
and what looks after it. Each comes after what it needs and after nothing else, so that the rest happens side by side.
"""

from __future__ import annotations

import pulumi

from tenantry.tenancy.spec import TenantSpec
from tenantry_components.backup import Backup
from tenantry_components.cache import Cache
from tenantry_components.database import Database
from tenantry_components.egress import Egress
from tenantry_components.keys import Keys
from tenantry_components.messaging import Messaging
from tenantry_components.monitoring import Monitoring
from tenantry_components.namespace import Namespace
from tenantry_components.network import Network
from tenantry_components.workload import Workload

__all__ = ["TenantStack"]


class TenantStack(pulumi.ComponentResource):
    """spec: a tenant, decided in full; nothing is read from anywhere else.

    Outputs: names and addresses, none of them secret: `namespace`, `hosts`, `release`, `modules`, `schema`,
    `database_host`, `transit_key`, `cache_prefix`, `messaging_vhost` (None with the database transport),
    `backup_prefix`, `egress_hosts`.
    """

    def __init__(self, name: str, spec: TenantSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tenantry:tenant:TenantStack", name, None, opts)
        here = pulumi.ResourceOptions(parent=self)
        namespace = Namespace("namespace", spec, opts=here)
        inside = namespace.ready[:1]
        network = Network("network", spec, after=inside, opts=here)
        fence = (*namespace.ready, *network.ready)
        keys = Keys("keys", spec, opts=here)
        egress = Egress("egress", spec, opts=here)
        database = Database("database", spec, after=(*fence, *keys.ready), opts=here)
        cache = Cache("cache", spec, after=(*fence, *keys.ready), opts=here)
        messaging = Messaging("messaging", spec, opts=here)
        servers = (*keys.ready, *egress.ready, *database.ready, *cache.ready, *messaging.ready)
        workload = Workload("workload", spec, after=(*fence, *servers), opts=here)
        backup = Backup("backup", spec, after=workload.standing or fence, opts=here)
        Monitoring("monitoring", spec, after=inside, opts=here)
        self.outputs = {
            "namespace": namespace.name,
            "hosts": pulumi.Output.from_input(list(spec.hosts)),
            "release": workload.release,
            "modules": workload.modules,
            "schema": database.schema,
            "database_host": database.host,
            "transit_key": keys.transit_key,
            "cache_prefix": cache.prefix,
            "messaging_vhost": messaging.vhost,
            "backup_prefix": backup.prefix,
            "egress_hosts": egress.hosts,
        }
        self.register_outputs(self.outputs)
