"""The cell's KMS keys: one a purpose, so that what one service may open, no other can."""

from __future__ import annotations

import pulumi
from pulumi_aws import kms

from tenantry.tenancy.cloud import Cloud
from tenantry_components.cloud_policy import key_policy

__all__ = ["CloudKeys", "role_arn"]

_SERVICES = {
    "database": ("rds", "secretsmanager"),
    "cache": ("elasticache",),
    "messaging": ("mq",),
    "backups": ("s3",),
    "files": ("elasticfilesystem",),
}
_ROLES = {"cluster": ("cluster",), "volumes": ("volumes",), "unseal": ("openbao",)}
_HANDED_ON = {"cluster", "volumes"}
_AUTO_SCALING = "aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
_DELETION_WINDOW_DAYS = 30


def role_arn(cloud: Cloud, role: str) -> str:
    """A role's ARN, known before the role exists."""
    return f"arn:aws:iam::{cloud.spec.account}:role/{cloud.prefix}-{role}"


class CloudKeys(pulumi.ComponentResource):
    """cloud: the cell. Outputs: `arns`, by purpose: database, cache, messaging, backups, files, logs, cluster (the
    secrets in etcd), volumes, unseal (opens OpenBao at its start).

    The keys rotate each year, cannot be deleted by a run, and after a deletion by hand wait for 30 days.
    """

    def __init__(self, name: str, cloud: Cloud, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tenantry:cloud:Keys", name, None, opts)
        account, region = cloud.spec.account, cloud.spec.region
        policies = {
            **{
                purpose: key_policy(account=account, region=region, services=services)
                for purpose, services in _SERVICES.items()
            },
            **{
                purpose: key_policy(
                    account=account,
                    region=region,
                    roles=[role_arn(cloud, role) for role in roles],
                    grants=purpose in _HANDED_ON,
                    # It starts the nodes, with their volumes.
                    linked=[f"arn:aws:iam::{account}:role/{_AUTO_SCALING}"] if purpose == "volumes" else [],
                )
                for purpose, roles in _ROLES.items()
            },
            "logs": key_policy(account=account, region=region, logs=True),
        }
        self.arns: dict[str, pulumi.Output[str]] = {}
        for purpose, policy in sorted(policies.items()):
            key = kms.Key(
                purpose,
                description=f"Cell {cloud.metadata.name}: {purpose}",
                enable_key_rotation=True,
                deletion_window_in_days=_DELETION_WINDOW_DAYS,
                policy=policy,
                tags=cloud.tags(purpose),
                opts=pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True),
            )
            kms.Alias(
                purpose,
                name=f"alias/{cloud.prefix}-{purpose}",
                target_key_id=key.key_id,
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.arns[purpose] = key.arn
        self.register_outputs({"arns": self.arns})
