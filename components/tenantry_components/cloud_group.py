"""A security group for one kind of server: the cluster's nodes and pods reach its ports, and nobody else does."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_aws import ec2

from tenantry.tenancy.cloud import Cloud

__all__ = ["server_group"]


def server_group(
    cloud: Cloud,
    part: str,
    ports: Sequence[int],
    *,
    vpc_id: pulumi.Input[str],
    cluster_group: pulumi.Input[str],
    parent: pulumi.Resource,
) -> ec2.SecurityGroup:
    """cluster_group: the security group that the cluster's nodes and pods are in."""
    return ec2.SecurityGroup(
        part,
        name=f"{cloud.prefix}-{part}",
        description=f"{part.capitalize()} of the cell, for its cluster",
        vpc_id=vpc_id,
        ingress=[
            ec2.SecurityGroupIngressArgs(
                description="From the cluster",
                protocol="tcp",
                from_port=port,
                to_port=port,
                security_groups=[cluster_group],
            )
            for port in ports
        ],
        egress=[],
        tags=cloud.tags(part),
        opts=pulumi.ResourceOptions(parent=parent),
    )
