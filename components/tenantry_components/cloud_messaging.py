"""The cell's RabbitMQ by Amazon MQ: three nodes in three zones, private; the cell's set-up adopts its first login."""

from __future__ import annotations

from urllib.parse import urlsplit

import pulumi
from pulumi_aws import mq

from tenantry.tenancy.cloud import Cloud
from tenantry_components.cloud_group import server_group
from tenantry_components.cloud_network import CloudNetwork

__all__ = ["ADMINISTRATOR", "CloudMessaging"]

ADMINISTRATOR = "tenantry"
_AMQPS, _HTTPS = 5671, 443


class CloudMessaging(pulumi.ComponentResource):
    """cloud: the cell. cluster_group: who may reach it. key: ARN of its key. password: of the first login, secret;
    `tenantry cell up` replaces it at once, so that what stands in this stack's state opens nothing any more.

    Outputs: `host`; `management_url`.
    """

    def __init__(
        self,
        name: str,
        cloud: Cloud,
        *,
        network: CloudNetwork,
        cluster_group: pulumi.Input[str],
        key: pulumi.Input[str],
        password: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:cloud:Messaging", name, None, opts)
        wanted, tags = cloud.spec.messaging, cloud.tags("messaging")
        group = server_group(
            cloud, "messaging", [_AMQPS, _HTTPS], vpc_id=network.vpc_id, cluster_group=cluster_group, parent=self
        )
        broker = mq.Broker(
            "messaging",
            broker_name=cloud.prefix,
            engine_type="RabbitMQ",
            engine_version=wanted.engine_version,
            host_instance_type=wanted.instance_type,
            deployment_mode="CLUSTER_MULTI_AZ",
            authentication_strategy="simple",
            users=[mq.BrokerUserArgs(username=ADMINISTRATOR, password=password)],
            subnet_ids=network.data_subnets,
            security_groups=[group.id],
            publicly_accessible=False,
            encryption_options=mq.BrokerEncryptionOptionsArgs(use_aws_owned_key=False, kms_key_id=key),
            logs=mq.BrokerLogsArgs(general=True),
            auto_minor_version_upgrade=True,
            maintenance_window_start_time=mq.BrokerMaintenanceWindowStartTimeArgs(
                day_of_week="SUNDAY", time_of_day="03:00", time_zone="UTC"
            ),
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True, ignore_changes=["users"]),
        )
        self.host = broker.instances.apply(lambda nodes: str(urlsplit(nodes[0]["endpoints"][0]).hostname))
        self.management_url = broker.instances.apply(lambda nodes: str(nodes[0]["console_url"]).rstrip("/"))
        self.register_outputs({"host": self.host, "management_url": self.management_url})
