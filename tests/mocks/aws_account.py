"""An engine's monitor that knows AWS, as the Pulumi CLI does: it answers with the outputs that AWS would decide."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pulumi
from pulumi.runtime.proto import resource_pb2

from tenantry.engine import evaluating, properties, urn
from tenantry.engine.desired import Desired
from tenantry.engine.interface import Program, Stack
from tenantry.engine.monitor import Monitor
from tenantry.tenancy.cloud import Cloud

__all__ = ["ACCOUNT", "AwsMonitor", "cloud_program", "evaluate_on_aws"]

ACCOUNT = "123456789012"
_REGION = "eu-central-1"


class AwsMonitor(Monitor):
    """Takes every package; ids and computed outputs of AWS resources are made from their names."""

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:  # noqa: N802
        answer = super().RegisterResource(request)
        if urn.package_of(request.type) != "aws" or not request.custom:
            return answer
        inputs = properties.from_struct(request.object, where=request.name)
        answer.id = f"id-{request.name}"
        answer.unknown = False
        answer.object.update(_computed(request.type, request.name, inputs))
        return answer

    def _check_options(self, request: resource_pb2.RegisterResourceRequest, title: str) -> None:
        if urn.package_of(request.type) != "aws":
            super()._check_options(request, title)

    def _id_of(self, name: str, request: Any, inputs: Any, title: str) -> str:
        if urn.package_of(request.type) == "aws":
            return f"id-{request.name}"
        return super()._id_of(name, request, inputs, title)


def _computed(type_: str, name: str, inputs: Any) -> dict[str, Any]:
    plain = properties.plain(inputs)
    found: dict[str, Any] = {"arn": f"arn:aws:{type_.split(':')[1].split('/')[0]}:{_REGION}:{ACCOUNT}:{name}"}
    match type_:
        case "aws:kms/key:Key":
            found["keyId"] = f"key-{name}"
        case "aws:rds/instance:Instance":
            found["address"] = f"{plain['identifier']}.abcdefghijkl.{_REGION}.rds.amazonaws.com"
            secret = f"arn:aws:secretsmanager:{_REGION}:{ACCOUNT}:secret:rds!db-{name}"
            found["masterUserSecrets"] = [{"secretArn": secret, "secretStatus": "active", "kmsKeyId": "k"}]
        case "aws:eks/cluster:Cluster":
            found["vpcConfig"] = {**plain["vpcConfig"], "clusterSecurityGroupId": "sg-cluster"}
            found["endpoint"] = "https://cluster.example"
        case "aws:elasticache/replicationGroup:ReplicationGroup":
            found["primaryEndpointAddress"] = f"master.{plain['replicationGroupId']}.cache.amazonaws.com"
        case "aws:mq/broker:Broker":
            host = f"b-1.mq.{_REGION}.on.aws"
            found["instances"] = [
                {"endpoints": [f"amqps://{host}:5671"], "consoleUrl": f"https://{host}", "ipAddress": ""}
            ]
        case "aws:route53/zone:Zone":
            found |= {"zoneId": "ZTENANTS", "nameServers": ["ns-1.example", "ns-2.example"]}
        case "aws:ec2/launchTemplate:LaunchTemplate":
            found["latestVersion"] = 1
        case _:
            pass
    return found


def evaluate_on_aws(stack: Stack, program: Program) -> Desired:
    """The program's registrations with the Pulumi CLI's engine in place of ours."""
    with mock.patch.object(evaluating, "Monitor", AwsMonitor):
        return evaluating.evaluate(stack, program, known_ids={}, emit=lambda _message: None)


def cloud_program(*, cloud: Cloud, authorities: str) -> None:
    from stacks.cloud_stack import cloud_stack

    password = pulumi.Output.secret("first-password")
    cloud_stack(cloud=cloud, authorities=authorities, broker_password=password)
