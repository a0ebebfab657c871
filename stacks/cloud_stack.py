"""The program of a cell's AWS account and region, for the Pulumi CLI alone: network, cluster, servers, keys, storage.

Afterwards `pulumi stack output cellFile` is the cell file, from which the cell's stack and its tenants go on.
"""

from __future__ import annotations

import pulumi
from pulumi_aws.provider import Provider

from tenantry.tenancy.cloud import Cloud
from tenantry.tenancy.cloud_cell import Made, cell_of, cell_text
from tenantry_components.cloud_cache import CloudCache
from tenantry_components.cloud_cluster import CloudCluster
from tenantry_components.cloud_databases import CloudDatabases
from tenantry_components.cloud_dns import CloudDns
from tenantry_components.cloud_identities import CloudIdentities
from tenantry_components.cloud_keys import CloudKeys
from tenantry_components.cloud_messaging import CloudMessaging
from tenantry_components.cloud_network import CloudNetwork
from tenantry_components.cloud_storage import CloudStorage
from tenantry_components.cloud_volumes import volume_classes

__all__ = ["cloud_stack"]


def cloud_stack(*, cloud: Cloud, authorities: str, broker_password: pulumi.Output[str]) -> None:
    """Declare the cell's cloud. authorities: PEM of everybody whom the cell trusts. broker_password: secret; see
    CloudMessaging. Credentials of AWS come from the environment, and must be of the cloud's account."""
    aws = Provider("aws", region=cloud.spec.region, allowed_account_ids=[cloud.spec.account])
    here = pulumi.ResourceOptions(provider=aws)
    keys = CloudKeys("keys", cloud, opts=here).arns
    network = CloudNetwork("network", cloud, log_key=keys["logs"], opts=here)
    cluster = CloudCluster("cluster", cloud, network=network, keys=keys, opts=here)
    group = cluster.security_group
    databases = CloudDatabases(
        "databases", cloud, network=network, cluster_group=group, key=keys["database"], opts=here
    )
    cache = CloudCache("cache", cloud, network=network, cluster_group=group, key=keys["cache"], opts=here)
    messaging = CloudMessaging(
        "messaging",
        cloud,
        network=network,
        cluster_group=group,
        key=keys["messaging"],
        password=broker_password,
        opts=here,
    )
    storage = CloudStorage("storage", cloud, network=network, cluster_group=group, keys=keys, opts=here)
    dns = CloudDns("dns", cloud, opts=here)
    identities = CloudIdentities(
        "identities", cloud, cluster=cluster.name, zone_id=dns.zone_id, unseal_key=keys["unseal"], opts=here
    )
    made = pulumi.Output.all(
        database_host=databases.host,
        database_secret=databases.secret,
        database_subnet_group=databases.subnet_group,
        database_security_group=databases.security_group,
        rds_domain=databases.domain,
        cache_host=cache.host,
        cache_user_group=cache.user_group,
        messaging_host=messaging.host,
        management_url=messaging.management_url,
    )

    def cell_file(found: dict[str, str]) -> str:
        decided = {"data_range": network.data_range, "backups_url": storage.backups_url}
        return cell_text(cell_of(cloud, Made(**decided, **found), authorities=authorities))

    pulumi.export("cellFile", made.apply(cell_file))
    pulumi.export("volumeClasses", pulumi.Output.all(storage.file_system, keys["volumes"]).apply(volume_classes))
    pulumi.export("cluster", cluster.name)
    pulumi.export("nameServers", dns.name_servers)
    pulumi.export("roles", identities.roles)
    pulumi.export("unsealKey", keys["unseal"])
    pulumi.export("managementUrl", messaging.management_url)
