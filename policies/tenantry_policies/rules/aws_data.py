"""What holds data at AWS: encrypted, kept, backed up, and paid for by somebody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tenantry_policies.rule import Findings, Rule, Sentences, resource_rule, stack_rule
from tenantry_policies.view import CELL, ENVIRONMENT, TENANT, Resource, Stack, items, mapping, named

__all__ = ["RULES"]

_INSTANCE = "aws:rds/instance:Instance"
_CLUSTER = "aws:rds/cluster:Cluster"
_REDIS = "aws:elasticache/replicationGroup:ReplicationGroup"
_BROKER = "aws:mq/broker:Broker"
_EKS = "aws:eks/cluster:Cluster"
_VOLUME = "aws:ebs/volume:Volume"
_FILES = "aws:efs/fileSystem:FileSystem"
_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
_BUCKETS = ("aws:s3/bucket:Bucket", "aws:s3/bucketV2:BucketV2")
_KEY = "aws:kms/key:Key"
_LEAST_DAYS = 7
_LEAST_WINDOW_DAYS = 7


def _encrypted(field: str) -> Callable[[Resource], Iterator[str]]:
    def check(resource: Resource) -> Iterator[str]:
        if not resource.inputs.get(field):
            yield f"it is not encrypted at rest; set {field} to true"
        if not named(resource.inputs, "kmsKeyId"):
            yield "it is encrypted by a key that everybody in the account shares; set kmsKeyId"

    return check


_AT_REST: dict[str, Callable[[Resource], Iterator[str]]] = {
    _INSTANCE: _encrypted("storageEncrypted"),
    _CLUSTER: _encrypted("storageEncrypted"),
    _REDIS: _encrypted("atRestEncryptionEnabled"),
    _VOLUME: _encrypted("encrypted"),
    _FILES: _encrypted("encrypted"),
}


@resource_rule(*_AT_REST, _BROKER, _EKS, _TEMPLATE)
def aws_storage_not_encrypted(resource: Resource) -> Sentences:
    """Databases, caches, brokers, volumes and the cluster's secrets are encrypted by a key of ours.

    Whoever gets at a snapshot or a disk then has nothing; and destroying the key destroys the data.
    """
    if resource.key in _AT_REST:
        yield from _AT_REST[resource.key](resource)
    elif resource.key == _BROKER:
        options = mapping(resource.inputs.get("encryptionOptions"))
        if not named(options, "kmsKeyId") or options.get("useAwsOwnedKey", True):
            yield "it is encrypted by AWS's own key; set encryptionOptions with kmsKeyId and useAwsOwnedKey false"
    elif resource.key == _EKS:
        sealed = mapping(resource.inputs.get("encryptionConfig"))
        if "secrets" not in items(sealed.get("resources")):
            yield "Secrets stand in etcd without a key of ours; set encryptionConfig with resources [secrets]"
    else:
        for device in (mapping(one) for one in items(resource.inputs.get("blockDeviceMappings"))):
            if str(mapping(device.get("ebs")).get("encrypted")).lower() != "true":
                yield f"the volume {device.get('deviceName')} is not encrypted; set ebs.encrypted to true"


@resource_rule(_REDIS)
def aws_transit_not_encrypted(cache: Resource) -> Sentences:
    """A cache takes TLS alone.

    Sessions and keys would cross the network in plain text.
    """
    if not cache.inputs.get("transitEncryptionEnabled"):
        yield "it takes connections in plain text; set transitEncryptionEnabled to true"


@resource_rule(_KEY)
def aws_key_not_kept(key: Resource) -> Sentences:
    """A KMS key is rotated, and its deletion can be taken back for a week or longer.

    A destroyed key is the end of all that it sealed, so a slip needs time to be noticed.
    """
    if not key.inputs.get("enableKeyRotation"):
        yield "the key is never rotated; set enableKeyRotation to true"
    window = key.inputs.get("deletionWindowInDays")
    if window is not None and window < _LEAST_WINDOW_DAYS:
        yield f"it is gone for good after {int(window)} days; set deletionWindowInDays to at least {_LEAST_WINDOW_DAYS}"


@resource_rule(_INSTANCE, _CLUSTER)
def aws_database_unprotected(database: Resource) -> Sentences:
    """A database cannot be deleted by one call, and leaves a last snapshot; only test environments may be without.

    It holds what customers cannot give us a second time.
    """
    if database.tags.get(ENVIRONMENT) == "test":
        return
    if not database.inputs.get("deletionProtection"):
        yield "one call deletes it; set deletionProtection to true"
    if database.inputs.get("skipFinalSnapshot"):
        yield "it leaves nothing when it is deleted; set skipFinalSnapshot to false and name a final snapshot"


@resource_rule(_INSTANCE, _CLUSTER)
def aws_database_without_backup(database: Resource) -> Sentences:
    """A database's automatic backups are kept for 7 days or more.

    Without them there is no way back to the minute before a mistake.
    """
    days = database.inputs.get("backupRetentionPeriod")
    if not isinstance(days, int | float) or days < _LEAST_DAYS:
        kept = int(days) if isinstance(days, int | float) else "no"
        yield f"its backups are kept for {kept} days; set backupRetentionPeriod to at least {_LEAST_DAYS}"


@stack_rule()
def aws_bucket_not_sealed(stack: Stack) -> Findings:
    """Every bucket is encrypted by a key of ours, keeps earlier versions, and closes every way to be made public.

    Backups lie in buckets. They are overwritten or opened by one wrong setting, unless these three stand.
    """
    for bucket in stack.of(*_BUCKETS):
        if not mapping(bucket.inputs.get("serverSideEncryptionConfiguration")) and not any(
            _companions(stack, bucket, "bucketServerSideEncryptionConfiguration")
        ):
            yield bucket, "it has no encryption by a key of ours; add a BucketServerSideEncryptionConfiguration"
        if not (bucket.inputs.get("objectLockEnabled") or any(_companions(stack, bucket, "bucketVersioning"))):
            yield bucket, "it forgets what is overwritten; add a BucketVersioning, or set objectLockEnabled"
        blocks = list(_companions(stack, bucket, "bucketPublicAccessBlock"))
        for field in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"):
            if not any(one.inputs.get(field) for one in blocks):
                yield bucket, f"it can be made public; add a BucketPublicAccessBlock with {field} true"


def _companions(stack: Stack, bucket: Resource, name: str) -> Iterator[Resource]:
    """Resources that set one thing of this bucket; their names at AWS differ by version (`…V2`)."""
    for one in stack.resources:
        if one.type.startswith(f"aws:s3/{name}") and (bucket.urn in one.refers or _same_name(one, bucket)):
            yield one


def _same_name(one: Resource, bucket: Resource) -> bool:
    given: Any = bucket.inputs.get("bucket") if named(bucket.inputs, "bucket") else None
    return given is not None and one.inputs.get("bucket") == given


_TAGGED = (
    *_BUCKETS,
    _BROKER,
    _CLUSTER,
    _EKS,
    _FILES,
    _INSTANCE,
    _KEY,
    _REDIS,
    _VOLUME,
    "aws:ec2/eip:Eip",
    "aws:ec2/instance:Instance",
    "aws:ec2/natGateway:NatGateway",
    "aws:ec2/vpc:Vpc",
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "aws:eks/nodeGroup:NodeGroup",
    "aws:elasticache/serverlessCache:ServerlessCache",
)


@resource_rule(*_TAGGED)
def aws_untagged(resource: Resource) -> Sentences:
    """What AWS puts on the bill says whose it is: the tag of a tenant, or of the cell.

    Costs are added up by these tags; what nobody owns nobody deletes.
    """
    if not named(resource.tags, TENANT) and not named(resource.tags, CELL):
        yield f"nothing says whose it is; add the tag {CELL} or {TENANT}"


RULES: tuple[Rule, ...] = (
    aws_storage_not_encrypted,
    aws_transit_not_encrypted,
    aws_key_not_kept,
    aws_database_unprotected,
    aws_database_without_backup,
    aws_bucket_not_sealed,
    aws_untagged,
)
