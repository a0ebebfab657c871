"""What holds data is not deleted by a slip."""

from __future__ import annotations

from tenantry_policies.rule import Findings, Rule, stack_rule
from tenantry_policies.view import Resource, Stack

__all__ = ["RULES"]

_HOLDING_DATA = (
    "PersistentVolumeClaim",
    "StatefulSet",
    "aws:efs/fileSystem:FileSystem",
    "aws:kms/key:Key",
    "aws:rds/cluster:Cluster",
    "aws:rds/instance:Instance",
    "aws:s3/bucket:Bucket",
    "aws:s3/bucketV2:BucketV2",
    "tenantry:KvSecrets",
    "tenantry:Mount",
    "tenantry:OwnServer",
    "tenantry:Schema",
    "tenantry:TransitKey",
)


@stack_rule()
def unprotected_data(stack: Stack) -> Findings:
    """What holds data, or opens it, has Pulumi's option `protect`, except in test environments.

    Schemas, volumes and keys end by deprovisioning alone, with its grace, its backup and its certificate; no `destroy`
    and no renamed resource takes them away.
    """
    if not stack.keeps_data:
        return
    for one in stack.of(*_HOLDING_DATA):
        if not one.protect and not _made_again(one):
            yield one, "it holds data that a `destroy` would delete; set the options protect and retain_on_delete"


def _made_again(resource: Resource) -> bool:
    """Logins to servers are made anew when they are gone, and so is the certificate of a cache; an application's own
    secrets and a database's at-rest key are not."""
    if resource.key == "tenantry:OwnServer":
        return resource.inputs.get("connection") == ""
    return resource.key == "tenantry:KvSecrets" and not str(resource.inputs.get("path") or "").endswith("/app")


RULES: tuple[Rule, ...] = (unprotected_data,)
