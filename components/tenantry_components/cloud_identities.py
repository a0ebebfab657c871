"""IAM roles of the cell's own pods, each with what it needs and tied to one service account by EKS Pod Identity.

No node and no tenant's pod has a role that opens anything of the account.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_aws import eks, iam

from tenantry.tenancy.cloud import Cloud
from tenantry_components.cell_cluster import SYSTEM_NAMESPACE
from tenantry_components.cloud_policy import Statement, allow, document, service_trust

__all__ = ["CloudIdentities", "pod_role"]

_OPERATOR = "tenantry-operator"
_PODS = "pods.eks.amazonaws.com"


def pod_role(cloud: Cloud, name: str, *, policy: pulumi.Input[str] | None, parent: pulumi.Resource) -> iam.Role:
    """A role that pods of this cell take, and nobody else. policy: what it may do; None: that is attached elsewhere."""
    role = iam.Role(
        name,
        name=f"{cloud.prefix}-{name}",
        assume_role_policy=service_trust(_PODS, account=cloud.spec.account, session=True),
        tags=cloud.tags(name),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    if policy is not None:
        iam.RolePolicy(
            name,
            name=name,
            role=role.name,
            policy=policy,
            opts=pulumi.ResourceOptions(parent=parent),
        )
    return role


class CloudIdentities(pulumi.ComponentResource):
    """cloud: the cell. cluster: its name. zone_id: its zone in Route 53. unseal_key: ARN of the key that opens
    OpenBao.

    Outputs: `roles`, ARNs by name: openbao, external-dns, cert-manager, operator (by it the operator, or who
    provisions in its place, reads RDS's master logins and makes cache users).
    """

    def __init__(
        self,
        name: str,
        cloud: Cloud,
        *,
        cluster: pulumi.Input[str],
        zone_id: pulumi.Output[str],
        unseal_key: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:cloud:Identities", name, None, opts)
        accounts = {
            "openbao": ("openbao", "openbao"),
            "external-dns": ("external-dns", "external-dns"),
            "cert-manager": ("cert-manager", "cert-manager"),
            "operator": (SYSTEM_NAMESPACE, _OPERATOR),
        }
        policies = {
            "openbao": unseal_key.apply(lambda arn: document(*_unseal(arn))),
            "external-dns": zone_id.apply(lambda zone: document(*_records(zone, ("A", "AAAA", "CNAME", "TXT")))),
            "cert-manager": zone_id.apply(lambda zone: document(*_challenges(zone))),
            "operator": pulumi.Output.from_input(document(*_operator(cloud))),
        }
        self.roles: dict[str, pulumi.Output[str]] = {}
        for role_name, (namespace, account) in accounts.items():
            role = pod_role(cloud, role_name, policy=policies[role_name], parent=self)
            eks.PodIdentityAssociation(
                role_name,
                cluster_name=cluster,
                namespace=namespace,
                service_account=account,
                role_arn=role.arn,
                tags=cloud.tags(role_name),
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.roles[role_name] = role.arn
        self.register_outputs({"roles": self.roles})


def _unseal(key: str) -> tuple[Statement, ...]:
    return (allow(("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt"), key),)


def _records(zone: str, types: tuple[str, ...]) -> tuple[Statement, ...]:
    arn = f"arn:aws:route53:::hostedzone/{zone}"
    only: Mapping[str, Mapping[str, object]] = {
        "ForAllValues:StringEquals": {"route53:ChangeResourceRecordSetsRecordTypes": list(types)}
    }
    return (
        allow(("route53:ChangeResourceRecordSets",), arn, only),
        allow(("route53:ListResourceRecordSets", "route53:ListTagsForResources"), arn),
        # AWS knows no resource for it.
        allow(("route53:ListHostedZones",), "*"),
    )


def _challenges(zone: str) -> tuple[Statement, ...]:
    return (
        *_records(zone, ("TXT",))[:2],
        allow(("route53:GetChange",), "arn:aws:route53:::change/*"),
        allow(("route53:ListHostedZonesByName",), "*"),
    )


def _operator(cloud: Cloud) -> tuple[Statement, ...]:
    region, account = cloud.spec.region, cloud.spec.account
    cache = f"arn:aws:elasticache:{region}:{account}"
    mine: Mapping[str, Mapping[str, object]] = {
        "StringEquals": {"aws:ResourceTag/tenantry.dev/cell": cloud.metadata.name}
    }
    return (
        allow(
            ("secretsmanager:GetSecretValue",),
            f"arn:aws:secretsmanager:{region}:{account}:secret:rds!db-*",
            mine,
        ),
        allow(
            (
                "elasticache:CreateUser",
                "elasticache:DeleteUser",
                "elasticache:DescribeUserGroups",
                "elasticache:DescribeUsers",
                "elasticache:ModifyUser",
                "elasticache:ModifyUserGroup",
            ),
            (f"{cache}:user:t-*", f"{cache}:usergroup:{cloud.prefix}"),
        ),
    )
