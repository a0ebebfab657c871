"""AWS policy documents: who may do what to which things. Pure; every statement names its actions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Statement", "allow", "document", "key_policy", "service_trust"]

Statement = dict[str, Any]

_KEY_ADMINISTRATION = (
    "kms:CancelKeyDeletion",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:UpdateKeyDescription",
)
_KEY_USE = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")


def document(*statements: Statement) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, sort_keys=True)


def allow(
    actions: Sequence[str], resources: str | Sequence[str], condition: Mapping[str, Mapping[str, Any]] | None = None
) -> Statement:
    """A statement of an identity's policy. condition: operator → key → value."""
    statement: Statement = {
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": resources if isinstance(resources, str) else list(resources),
    }
    return statement | ({"Condition": dict(condition)} if condition else {})


def service_trust(service: str, *, account: str | None, session: bool = False) -> str:
    """Who may take a role: one AWS service, for this account's things alone. account: None where the service does not
    tell. session: with tags of its session, as EKS Pod Identity does."""
    statement: Statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": ["sts:AssumeRole", *(["sts:TagSession"] if session else [])],
    }
    if account is not None:
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": account}}
    return document(statement)


def key_policy(
    *,
    account: str,
    region: str,
    services: Sequence[str] = (),
    logs: bool = False,
    roles: Sequence[str] = (),
    grants: bool = False,
    linked: Sequence[str] = (),
) -> str:
    """A key's policy: the account administers it, and only through these services, or as these roles, is it used.

    services: such as `rds`. logs: CloudWatch Logs, for this account's log groups. roles: ARNs of IAM roles whose own
    policies grant the use. grants: who has the right may hand the key to an AWS service for one resource (a volume).
    linked: ARNs of service-linked roles, whose own policies nobody can change; they must exist. In a key's policy the
    resource `*` is the key itself.
    """
    root = {"AWS": f"arn:aws:iam::{account}:root"}
    statements: list[Statement] = [
        {"Sid": "Administer", "Effect": "Allow", "Principal": root, "Action": [*_KEY_ADMINISTRATION], "Resource": "*"}
    ]
    if services:
        via = {
            "StringEquals": {
                "kms:CallerAccount": account,
                "kms:ViaService": [f"{service}.{region}.amazonaws.com" for service in services],
            }
        }
        statements.append(
            {
                "Sid": "UseByServices",
                "Effect": "Allow",
                "Principal": root,
                "Action": [*_KEY_USE],
                "Resource": "*",
                "Condition": via,
            }
        )
        statements.append(
            {
                "Sid": "GrantToServices",
                "Effect": "Allow",
                "Principal": root,
                "Action": ["kms:CreateGrant"],
                "Resource": "*",
                "Condition": {**via, "Bool": {"kms:GrantIsForAWSResource": "true"}},
            }
        )
    if logs:
        statements.append(
            {
                "Sid": "Logs",
                "Effect": "Allow",
                "Principal": {"Service": f"logs.{region}.amazonaws.com"},
                "Action": [*_KEY_USE],
                "Resource": "*",
                "Condition": {
                    "ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{region}:{account}:log-group:*"}
                },
            }
        )
    if roles:
        statements.append(
            {
                "Sid": "UseByRoles",
                "Effect": "Allow",
                "Principal": root,
                "Action": [*_KEY_USE],
                "Resource": "*",
                "Condition": {"ArnEquals": {"aws:PrincipalArn": list(roles)}},
            }
        )
    if grants:
        statements.append(
            {
                "Sid": "GrantToServices",
                "Effect": "Allow",
                "Principal": {"AWS": [root["AWS"], *linked]},
                "Action": ["kms:CreateGrant"],
                "Resource": "*",
                "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
            }
        )
    if linked:
        statements.append(
            {
                "Sid": "UseByLinkedRoles",
                "Effect": "Allow",
                "Principal": {"AWS": list(linked)},
                "Action": [*_KEY_USE],
                "Resource": "*",
            }
        )
    return document(*statements)
