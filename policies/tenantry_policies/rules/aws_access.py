"""Who reaches what at AWS: nothing from the world, and no rights on everything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tenantry_policies.rule import Rule, Sentences, resource_rule
from tenantry_policies.view import Resource, items, mapping, named

__all__ = ["RULES"]

_WORLD = {"0.0.0.0/0", "::/0"}
_GROUP = "aws:ec2/securityGroup:SecurityGroup"
_GROUP_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
_INGRESS_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
_EKS = "aws:eks/cluster:Cluster"
_INSTANCE = "aws:rds/instance:Instance"
_RDS_MEMBER = "aws:rds/clusterInstance:ClusterInstance"
_BROKER = "aws:mq/broker:Broker"
_SUBNET = "aws:ec2/subnet:Subnet"
_MACHINE = "aws:ec2/instance:Instance"
_IDENTITY_POLICIES = (
    "aws:iam/groupPolicy:GroupPolicy",
    "aws:iam/policy:Policy",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/userPolicy:UserPolicy",
)
_ROLE = "aws:iam/role:Role"
_ATTACHMENTS = (
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment",
    "aws:iam/policyAttachment:PolicyAttachment",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment",
)
_RESOURCE_POLICIES = (
    "aws:kms/key:Key",
    "aws:kms/keyPolicy:KeyPolicy",
    "aws:s3/bucketPolicy:BucketPolicy",
    "aws:secretsmanager/secretPolicy:SecretPolicy",
)
_BROAD = ("AdministratorAccess", "PowerUserAccess", "IAMFullAccess")


@resource_rule(_INSTANCE, _RDS_MEMBER, _BROKER, _EKS, _SUBNET, _MACHINE)
def aws_public_address(resource: Resource) -> Sentences:
    """Databases, brokers, the cluster's API and machines have no public address.

    What has none cannot be reached by a mistake in a security group.
    """
    if resource.key == _EKS:
        network = mapping(resource.inputs.get("vpcConfig"))
        if network.get("endpointPublicAccess", True):
            yield "the API server can be reached from the world; set vpcConfig.endpointPublicAccess to false"
    for field in ("publiclyAccessible", "mapPublicIpOnLaunch", "associatePublicIpAddress"):
        if resource.inputs.get(field):
            yield f"it gets a public address; set {field} to false"


@resource_rule(_GROUP, _GROUP_RULE, _INGRESS_RULE)
def aws_open_to_the_world(group: Resource) -> Sentences:
    """A security group lets nobody in from the whole world.

    The way in is the load balancer of the ingress controller, which the cluster itself makes.
    """
    rules: list[Mapping[str, Any]] = []
    if group.key == _GROUP:
        rules = [mapping(one) for one in items(group.inputs.get("ingress"))]
    elif group.key == _INGRESS_RULE or group.inputs.get("type") == "ingress":
        rules = [group.inputs]
    for rule in rules:
        ranges = {str(one) for field in ("cidrBlocks", "ipv6CidrBlocks") for one in items(rule.get(field))}
        ranges |= {str(rule[field]) for field in ("cidrIpv4", "cidrIpv6") if named(rule, field)}
        for world in sorted(ranges & _WORLD):
            yield f"everybody ({world}) gets in; name the security group or the range that may"


@resource_rule(*_IDENTITY_POLICIES, _ROLE, *_ATTACHMENTS)
def aws_wildcard_rights(resource: Resource) -> Sentences:
    """An IAM policy names actions and what they act on; nobody has all actions on everything.

    Such a role is the account: its networks, its keys, and every tenant's data.
    """
    if resource.key in _ATTACHMENTS:
        arns = [resource.inputs.get("policyArn")]
    else:
        arns = [*items(resource.inputs.get("managedPolicyArns"))]
        documents = [resource.inputs.get("policy")] if named(resource.inputs, "policy") else []
        documents += [mapping(one).get("policy") for one in items(resource.inputs.get("inlinePolicies"))]
        for document in documents:
            for statement in _allowing(document):
                yield from _too_wide(statement)
    for arn in arns:
        name = str(arn).rpartition("/")[2]
        if name in _BROAD:
            yield f"it gives {name}; attach a policy that names what is needed"


@resource_rule(*_RESOURCE_POLICIES, _ROLE)
def aws_open_to_every_account(resource: Resource) -> Sentences:
    """A role, key or bucket is open to principals that are named, or to everybody under a condition.

    `Principal: "*"` without a condition is every AWS account of the world.
    """
    field = "assumeRolePolicy" if resource.key == _ROLE else "policy"
    if not named(resource.inputs, field):
        return
    for statement in _allowing(resource.inputs.get(field)):
        principal = statement.get("Principal")
        named_ones = _texts(mapping(principal).get("AWS")) if mapping(principal) else _texts(principal)
        if "*" in named_ones and not mapping(statement.get("Condition")):
            yield f"{field} lets every account in; name the principals, or add a condition"


def _allowing(document: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError:
            return
    statements = mapping(document).get("Statement")
    for statement in [statements] if mapping(statements) else items(statements):
        if mapping(statement).get("Effect") == "Allow":
            yield mapping(statement)


def _too_wide(statement: Mapping[str, Any]) -> Iterator[str]:
    everywhere = "*" in _texts(statement.get("Resource"))
    for action in _texts(statement.get("Action")):
        if action == "*" or (action.endswith(":*") and everywhere):
            yield f"a statement allows {action} on {'everything' if everywhere else 'its resources'}; name the actions"
    if named(statement, "NotAction"):
        yield "a statement allows all actions but some; name the actions that are needed"


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in items(value)]


RULES: tuple[Rule, ...] = (
    aws_public_address,
    aws_open_to_the_world,
    aws_wildcard_rights,
    aws_open_to_every_account,
)
