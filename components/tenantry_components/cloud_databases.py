"""The cell's MariaDB by RDS: the shared server, and what tenants' own instances stand in (rds.py makes those).

RDS makes, keeps and rotates the master's password in Secrets Manager; it is in no state and no output of ours.
"""

from __future__ import annotations

import pulumi
from pulumi_aws import rds

from tenantry.tenancy.cloud import Cloud
from tenantry_components.cloud_group import server_group
from tenantry_components.cloud_network import CloudNetwork

__all__ = ["MASTER", "CloudDatabases", "rds_parameters"]

MASTER = "tenantry"
PORT = 3306
_STORAGE_GROWTH = 2


def rds_parameters(*, max_connections: int | None = None) -> list[rds.ParameterGroupParameterArgs]:
    """What every MariaDB of ours is set to. max_connections: None leaves what RDS computes from the memory."""
    settings = {
        "require_secure_transport": "1",
        "tls_version": "TLSv1.2,TLSv1.3",
        "character_set_server": "utf8mb4",
        "collation_server": "utf8mb4_unicode_ci",
        "local_infile": "0",
    }
    if max_connections is not None:
        settings["max_connections"] = str(max_connections)
    return [
        rds.ParameterGroupParameterArgs(name=name, value=value, apply_method="pending-reboot")
        for name, value in settings.items()
    ]


class CloudDatabases(pulumi.ComponentResource):
    """cloud: the cell. cluster_group: who may reach it. key: ARN of its key.

    Outputs: `host`; `domain`, what follows the identifier of any instance of this account and region in its host
    name; `subnet_group` and `security_group`, for tenants' instances too; `secret`, ARN of the master's login.
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
        super().__init__("tenantry:cloud:Databases", name, None, opts)
        here = pulumi.ResourceOptions(parent=self)
        wanted, tags = cloud.spec.database, cloud.tags("database")
        subnets = rds.SubnetGroup("databases", name=cloud.prefix, subnet_ids=network.data_subnets, tags=tags, opts=here)
        group = server_group(
            cloud, "databases", [PORT], vpc_id=network.vpc_id, cluster_group=cluster_group, parent=self
        )
        parameters = rds.ParameterGroup(
            "shared",
            name=f"{cloud.prefix}-{wanted.engine_version.replace('.', '-')}",
            family=f"mariadb{wanted.engine_version}",
            parameters=rds_parameters(max_connections=wanted.max_connections),
            tags=tags,
            opts=here,
        )
        storage_gib = -(-wanted.storage // 1024)
        server = rds.Instance(
            "shared",
            identifier=cloud.prefix,
            engine="mariadb",
            engine_version=wanted.engine_version,
            instance_class=wanted.instance_class,
            username=MASTER,
            manage_master_user_password=True,
            master_user_secret_kms_key_id=key,
            parameter_group_name=parameters.name,
            db_subnet_group_name=subnets.name,
            vpc_security_group_ids=[group.id],
            port=PORT,
            allocated_storage=storage_gib,
            max_allocated_storage=storage_gib * _STORAGE_GROWTH,
            storage_type="gp3",
            storage_encrypted=True,
            kms_key_id=key,
            publicly_accessible=False,
            multi_az=True,
            backup_retention_period=wanted.backup_days,
            copy_tags_to_snapshot=True,
            delete_automated_backups=False,
            deletion_protection=True,
            skip_final_snapshot=False,
            final_snapshot_identifier=f"{cloud.prefix}-final",
            enabled_cloudwatch_logs_exports=["error"],
            performance_insights_enabled=True,
            performance_insights_kms_key_id=key,
            auto_minor_version_upgrade=True,
            ca_cert_identifier="rds-ca-rsa2048-g1",
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True),
        )
        self.host = server.address
        self.domain = server.address.apply(lambda address: address.partition(".")[2])
        self.secret = server.master_user_secrets.apply(lambda secrets: secrets[0]["secret_arn"])
        self.subnet_group = subnets.name
        self.security_group = group.id
        self.register_outputs(
            {
                "host": self.host,
                "domain": self.domain,
                "secret": self.secret,
                "subnet_group": self.subnet_group,
                "security_group": self.security_group,
            }
        )
