"""The cell's Redis by ElastiCache: encrypted both ways, opened by users of a group, each tenant one of them."""

from __future__ import annotations

import pulumi
from pulumi_aws import elasticache

from tenantry.tenancy.cloud import ZONES, Cloud
from tenantry_components.cloud_group import server_group
from tenantry_components.cloud_network import CloudNetwork

__all__ = ["CloudCache"]

PORT = 6379


class CloudCache(pulumi.ComponentResource):
    """cloud: the cell. cluster_group: who may reach it. key: ARN of its key.

    Outputs: `host`; `user_group`, in which each tenant's user is made.
    """

    def __init__(
        self,
        name: str,
        cloud: Cloud,
        *,
        network: CloudNetwork,
        cluster_group: pulumi.Input[str],
        key: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:cloud:Cache", name, None, opts)
        here = pulumi.ResourceOptions(parent=self)
        wanted, tags = cloud.spec.cache, cloud.tags("cache")
        subnets = elasticache.SubnetGroup(
            "cache", name=cloud.prefix, subnet_ids=network.data_subnets, tags=tags, opts=here
        )
        group = server_group(cloud, "cache", [PORT], vpc_id=network.vpc_id, cluster_group=cluster_group, parent=self)
        nobody = elasticache.User(
            "default",
            # A group must have a user `default`; this one is off and may do nothing.
            user_id=f"default-{cloud.metadata.name}",
            user_name="default",
            engine="redis",
            access_string="off resetkeys resetchannels -@all",
            authentication_mode=elasticache.UserAuthenticationModeArgs(type="no-password-required"),
            tags=tags,
            opts=here,
        )
        users = elasticache.UserGroup(
            "tenants",
            user_group_id=cloud.prefix,
            engine="redis",
            user_ids=[nobody.user_id],
            tags=tags,
            # Tenants' users come and go with the tenants.
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["userIds"]),
        )
        parameters = elasticache.ParameterGroup(
            "cache",
            name=cloud.prefix,
            family="redis7",
            parameters=[elasticache.ParameterGroupParameterArgs(name="maxmemory-policy", value="allkeys-lru")],
            tags=tags,
            opts=here,
        )
        server = elasticache.ReplicationGroup(
            "cache",
            replication_group_id=cloud.prefix,
            description=f"Cell {cloud.metadata.name}: cache",
            engine="redis",
            engine_version=wanted.engine_version,
            node_type=wanted.node_type,
            num_cache_clusters=ZONES,
            automatic_failover_enabled=True,
            multi_az_enabled=True,
            parameter_group_name=parameters.name,
            subnet_group_name=subnets.name,
            security_group_ids=[group.id],
            port=PORT,
            at_rest_encryption_enabled=True,
            kms_key_id=key,
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            user_group_ids=[users.user_group_id],
            # What is in a cache may be lost; what is in a snapshot would outlive its tenant.
            snapshot_retention_limit=0,
            auto_minor_version_upgrade=True,
            tags=tags,
            opts=here,
        )
        self.host = server.primary_endpoint_address
        self.user_group = users.user_group_id
        self.register_outputs({"host": self.host, "user_group": self.user_group})
