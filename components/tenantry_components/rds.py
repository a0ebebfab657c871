"""A database instance of the tenant's own at AWS, with a KMS key of its own. For the Pulumi CLI alone: its address
is known only when it exists, which the in-process engine cannot follow.

AWS makes and rotates the master password in its Secrets Manager; it is in no state and no output of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from tenantry.tenancy.spec import Environment, TenantSpec
from tenantry_components.manifest import keeping, metadata, register

__all__ = ["rds_instance"]

_STORAGE_GROWTH = 2
_MIN_STORAGE_GIB = 20


def rds_instance(
    spec: TenantSpec, *, parent: pulumi.Resource, after: Sequence[pulumi.Resource]
) -> Sequence[pulumi.Resource]:
    """Declare key, parameters and instance as children of `parent`, and the namespace's Service `database` that leads
    to it. It stands in the account's subnet group `tenantry-<cell>` and has no public address."""
    kept = pulumi.ResourceOptions.merge(pulumi.ResourceOptions(parent=parent), keeping(spec))
    name = spec.names.namespace
    production = spec.environment is Environment.PRODUCTION
    test = spec.environment is Environment.TEST
    key = aws.kms.Key(
        "database",
        description=f"Tenant {name}: database at rest",
        enable_key_rotation=True,
        deletion_window_in_days=7 if test else 30,
        tags=spec.labels,
        opts=kept,
    )
    parameters = aws.rds.ParameterGroup(
        "database",
        name=name,
        family=f"mariadb{spec.database.engine_version}",
        parameters=[
            {"name": "require_secure_transport", "value": "1"},
            {"name": "character_set_server", "value": "utf8mb4"},
        ],
        tags=spec.labels,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    storage_gib = max(_MIN_STORAGE_GIB, -(-spec.database.storage_mib // 1024))
    instance = aws.rds.Instance(
        "database",
        identifier=name,
        engine="mariadb",
        engine_version=spec.database.engine_version,
        instance_class=spec.database.instance_class,
        db_name=spec.names.schema,
        username="tenantry",
        manage_master_user_password=True,
        master_user_secret_kms_key_id=key.arn,
        parameter_group_name=parameters.name,
        db_subnet_group_name=f"tenantry-{spec.cell.metadata.name}",
        allocated_storage=storage_gib,
        max_allocated_storage=storage_gib * _STORAGE_GROWTH,
        storage_type="gp3",
        storage_encrypted=True,
        kms_key_id=key.arn,
        publicly_accessible=False,
        multi_az=production,
        backup_retention_period=max(7, spec.backup.keep_daily),
        copy_tags_to_snapshot=True,
        deletion_protection=not test,
        skip_final_snapshot=test,
        final_snapshot_identifier=None if test else f"{name}-final",
        performance_insights_enabled=production,
        auto_minor_version_upgrade=True,
        apply_immediately=False,
        port=spec.database.port,
        tags=spec.labels,
        opts=kept,
    )
    alias = register(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(spec, "database", component="database"),
            "spec": {"type": "ExternalName", "externalName": instance.address},
        },
        parent=parent,
        after=after,
    )
    return key, parameters, instance, alias
