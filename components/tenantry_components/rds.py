"""A database instance of the tenant's own at AWS, with a KMS key of its own. For the Pulumi CLI alone: the in-process
engine has no AWS provider, and refuses it by name before anything is made.

AWS makes and rotates the master's password in its Secrets Manager; OpenBao gets an account of its own
(`RdsConnection`). Neither password is in a state or an output. The instance's host name was decided with the tenant:
its identifier, and what AWS gives every instance of the cell's account and region.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_aws import kms, rds
from pulumi_aws.provider import Provider

from tenantry.tenancy.cell import Aws
from tenantry.tenancy.errors import Conflict
from tenantry.tenancy.spec import Environment, TenantSpec
from tenantry_components.cloud_databases import MASTER, rds_parameters
from tenantry_components.cloud_policy import key_policy
from tenantry_components.manifest import keeping
from tenantry_components.providers.mariadb_server import rds_provisioner
from tenantry_components.providers.openbao import DatabaseStaticRole
from tenantry_components.providers.rds_connection import RdsConnection

__all__ = ["RdsServer", "rds_server"]

_STORAGE_GROWTH = 2
_MIN_STORAGE_GIB = 20
_LONGEST_BACKUP_DAYS = 35
_PROVISIONER_ROTATION_DAYS = 1


class RdsServer:
    """A server that stands. host: its address, once AWS has said so. ready: who logs in comes after it."""

    def __init__(self, host: pulumi.Output[str], ready: Sequence[pulumi.Resource]) -> None:
        self.host = host
        self.ready = tuple(ready)


def rds_server(spec: TenantSpec, *, parent: pulumi.Resource, after: Sequence[pulumi.Resource]) -> RdsServer:
    """Declare key, parameters, instance and OpenBao's hold on it as children of `parent`."""
    aws = spec.cell.spec.aws
    assert aws is not None  # resolving refuses the tier elsewhere
    instance = _instance(spec, aws, parent=parent, after=after)
    openbao = spec.cell.spec.openbao
    account = f"{spec.names.schema}_provisioner"
    host = instance.address.apply(lambda address: _as_decided(spec, address))
    connection = RdsConnection(
        "rds",
        mount=openbao.database_mount,
        connection=spec.names.namespace,
        host=host,
        port=spec.database.port,
        secret=instance.master_user_secrets.apply(lambda secrets: secrets[0]["secret_arn"]),
        region=aws.region,
        authority=spec.cell.spec.ca_bundle,
        roles=[spec.names.database_role_a, spec.names.database_role_b, rds_provisioner(spec.names.namespace)],
        provisioner=account,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[instance]),
    )
    provisioner = DatabaseStaticRole(
        "provisioner",
        mount=openbao.database_mount,
        role=rds_provisioner(spec.names.namespace),
        connection=spec.names.namespace,
        username=account,
        rotation_days=_PROVISIONER_ROTATION_DAYS,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[connection]),
    )
    return RdsServer(host, (instance, connection, provisioner))


def _instance(spec: TenantSpec, aws: Aws, *, parent: pulumi.Resource, after: Sequence[pulumi.Resource]) -> rds.Instance:
    name, tags = spec.names.rds_instance, _tags(spec, aws)
    production = spec.environment is Environment.PRODUCTION
    test = spec.environment is Environment.TEST
    provider = Provider(
        "aws", region=aws.region, allowed_account_ids=[aws.account], opts=pulumi.ResourceOptions(parent=parent)
    )
    here = pulumi.ResourceOptions(parent=parent, provider=provider, depends_on=list(after))
    kept = pulumi.ResourceOptions.merge(here, keeping(spec))
    key = kms.Key(
        "database",
        description=f"Tenant {spec.names.namespace}: database at rest",
        enable_key_rotation=True,
        deletion_window_in_days=7 if test else 30,
        policy=key_policy(account=aws.account, region=aws.region, services=("rds", "secretsmanager")),
        tags=tags,
        opts=kept,
    )
    parameters = rds.ParameterGroup(
        "database",
        name=name,
        family=f"mariadb{_major(spec.database.engine_version)}",
        parameters=rds_parameters(),
        tags=tags,
        opts=here,
    )
    storage_gib = max(_MIN_STORAGE_GIB, -(-spec.database.storage_mib // 1024))
    return rds.Instance(
        "database",
        identifier=name,
        engine="mariadb",
        engine_version=spec.database.engine_version,
        instance_class=spec.database.instance_class,
        username=MASTER,
        manage_master_user_password=True,
        master_user_secret_kms_key_id=key.arn,
        parameter_group_name=parameters.name,
        db_subnet_group_name=aws.database_subnet_group,
        vpc_security_group_ids=[aws.database_security_group],
        port=spec.database.port,
        allocated_storage=storage_gib,
        max_allocated_storage=storage_gib * _STORAGE_GROWTH,
        storage_type="gp3",
        storage_encrypted=True,
        kms_key_id=key.arn,
        publicly_accessible=False,
        multi_az=production,
        backup_retention_period=min(_LONGEST_BACKUP_DAYS, max(7, spec.backup.keep_daily)),
        copy_tags_to_snapshot=True,
        delete_automated_backups=test,
        deletion_protection=not test,
        skip_final_snapshot=test,
        final_snapshot_identifier=None if test else f"{name}-final",
        enabled_cloudwatch_logs_exports=["error"],
        performance_insights_enabled=production,
        performance_insights_kms_key_id=key.arn if production else None,
        auto_minor_version_upgrade=True,
        apply_immediately=False,
        ca_cert_identifier="rds-ca-rsa2048-g1",
        tags=tags,
        opts=kept,
    )


def _tags(spec: TenantSpec, aws: Aws) -> dict[str, str]:
    """Costs are told apart by tenant; the operator's rights by cell."""
    return {
        **spec.labels,
        "Name": spec.names.namespace,
        "cost-center": aws.cost_center,
        "tenantry.dev/cell": spec.cell.metadata.name,
        "tenantry.dev/part": "database",
    }


def _major(version: str) -> str:
    """The part of a version that RDS has parameter families for: `10.11.9` → `10.11`."""
    return ".".join(version.split(".")[:2])


def _as_decided(spec: TenantSpec, address: str) -> str:
    """The instance's address, which must be the one that the tenant's modules are told. Raises Conflict."""
    if address != spec.database.host:
        raise Conflict(
            f"the database of {spec.name} stands at {address}, and its modules would look for it at "
            f"{spec.database.host}",
            where="spec.aws.rdsDomain",
            hint="write the cell file anew: `pulumi stack output cellFile` of the cloud stack",
        )
    return address
