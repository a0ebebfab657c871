"""Where the cell keeps files: a bucket for backups that nobody can delete before their time, and shared volumes."""

from __future__ import annotations

import pulumi
from pulumi_aws import efs, s3

from tenantry.tenancy.cloud import Cloud
from tenantry_components.cloud_group import server_group
from tenantry_components.cloud_network import CloudNetwork
from tenantry_components.cloud_policy import document

__all__ = ["CloudStorage"]

_NFS = 2049
_UNFINISHED_DAYS = 7


class CloudStorage(pulumi.ComponentResource):
    """cloud: the cell. cluster_group: who may mount. keys: ARNs of the keys `backups` and `files`.

    Outputs: `backups_url`; `file_system`, id for the class of shared volumes.
    """

    def __init__(
        self,
        name: str,
        cloud: Cloud,
        *,
        network: CloudNetwork,
        cluster_group: pulumi.Input[str],
        keys: dict[str, pulumi.Output[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:cloud:Storage", name, None, opts)
        self._cloud = cloud
        self._here = pulumi.ResourceOptions(parent=self)
        self._kept = pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True)
        self._bucket(keys["backups"])
        self.file_system = self._files(network, cluster_group, keys["files"])
        self.backups_url = f"https://s3.{cloud.spec.region}.amazonaws.com/{cloud.bucket}"
        self.register_outputs({"backups_url": self.backups_url, "file_system": self.file_system})

    def _bucket(self, key: pulumi.Input[str]) -> None:
        cloud, wanted = self._cloud, self._cloud.spec.backups
        bucket = s3.Bucket(
            "backups",
            bucket=cloud.bucket,
            object_lock_enabled=True,
            force_destroy=False,
            tags=cloud.tags("backups"),
            opts=self._kept,
        )
        versioning = s3.BucketVersioning(
            "backups",
            bucket=bucket.bucket,
            versioning_configuration=s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=self._here,
        )
        after = pulumi.ResourceOptions(parent=self, depends_on=[versioning])
        s3.BucketObjectLockConfiguration(
            "backups",
            bucket=bucket.bucket,
            rule=s3.BucketObjectLockConfigurationRuleArgs(
                default_retention=s3.BucketObjectLockConfigurationRuleDefaultRetentionArgs(
                    mode=wanted.lock_mode.upper(), days=wanted.lock_days
                )
            ),
            opts=after,
        )
        s3.BucketServerSideEncryptionConfiguration(
            "backups",
            bucket=bucket.bucket,
            rules=[
                s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=(
                        s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                            sse_algorithm="aws:kms", kms_master_key_id=key
                        )
                    ),
                    bucket_key_enabled=True,
                )
            ],
            opts=self._here,
        )
        closed = s3.BucketPublicAccessBlock(
            "backups",
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._here,
        )
        s3.BucketOwnershipControls(
            "backups",
            bucket=bucket.bucket,
            rule=s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=self._here,
        )
        s3.BucketLifecycleConfiguration(
            "backups",
            bucket=bucket.bucket,
            rules=[
                s3.BucketLifecycleConfigurationRuleArgs(
                    id="what-was-deleted",
                    status="Enabled",
                    filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    # A pruned copy lives on as an old version while the lock lasts, and no longer.
                    noncurrent_version_expiration=s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                        noncurrent_days=wanted.lock_days
                    ),
                    expiration=s3.BucketLifecycleConfigurationRuleExpirationArgs(expired_object_delete_marker=True),
                    abort_incomplete_multipart_upload=(
                        s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                            days_after_initiation=_UNFINISHED_DAYS
                        )
                    ),
                )
            ],
            opts=after,
        )
        s3.BucketPolicy(
            "backups",
            bucket=bucket.bucket,
            policy=_tls_only(cloud.bucket),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[closed]),
        )

    def _files(
        self, network: CloudNetwork, cluster_group: pulumi.Input[str], key: pulumi.Input[str]
    ) -> pulumi.Output[str]:
        cloud = self._cloud
        files = efs.FileSystem(
            "files",
            creation_token=cloud.prefix,
            encrypted=True,
            kms_key_id=key,
            throughput_mode="elastic",
            tags=cloud.tags("files"),
            opts=self._kept,
        )
        efs.BackupPolicy(
            "files",
            file_system_id=files.id,
            backup_policy=efs.BackupPolicyBackupPolicyArgs(status="ENABLED"),
            opts=self._here,
        )
        group = server_group(cloud, "files", [_NFS], vpc_id=network.vpc_id, cluster_group=cluster_group, parent=self)
        for zone, subnet in zip(cloud.spec.zones, network.data_subnets, strict=True):
            efs.MountTarget(
                f"files-{zone}",
                file_system_id=files.id,
                subnet_id=subnet,
                security_groups=[group.id],
                opts=self._here,
            )
        file_system: pulumi.Output[str] = files.id
        return file_system


def _tls_only(bucket: str) -> str:
    """Refuses requests without TLS 1.2, whoever asks."""
    things = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    refusal = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": things}
    return document(
        {**refusal, "Sid": "OnlyTls", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {**refusal, "Sid": "OnlyTls12", "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
    )
