"""Names derived from a tenant's name and incarnation.

A name that is used up must never come back: a deleted tenant's schema, key or backup folder would otherwise be
inherited by the next tenant of that name. So every such name carries the incarnation, 8 characters that stand for
this life of the tenant. Because the incarnation has a fixed length and no hyphen, each name can be read back
(`tenant_of_namespace`), so two tenants can never share one.

Longest results: namespace 41 of 63 characters (DNS label), schema 41 of 64 and accounts 43 of 80 (MariaDB), RDS
instance 49 of 63, ElastiCache user 34 of 40.
"""

from __future__ import annotations

import base64
import hashlib
import re

from tenantry.tenancy.spec import Names

__all__ = [
    "INCARNATION_LENGTH",
    "NAME_LENGTH",
    "NAME_PATTERN",
    "incarnation_of",
    "names",
    "role_of_account",
    "tenant_of_namespace",
]

NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
NAME_LENGTH = 30
INCARNATION_LENGTH = 8

_DIGEST_LENGTH = 16
"""Of names that cannot hold the namespace itself: 80 bits of it."""

_NAME = re.compile(NAME_PATTERN)
_INCARNATION = re.compile(rf"[a-z0-9]{{{INCARNATION_LENGTH}}}")


def incarnation_of(uid: str) -> str:
    """Shorten a uid (a Kubernetes object's, or a UUID made for a first run) to 8 characters of a-z2-7: 40 bits.

    The same uid gives the same incarnation. 40 bits only tell the lives of one tenant name apart.
    """
    return _digest(uid, INCARNATION_LENGTH)


def names(name: str, incarnation: str) -> Names:
    """All derived names. Raises ValueError for a name or an incarnation that breaks the rules above."""
    if not _NAME.fullmatch(name) or len(name) > NAME_LENGTH:
        raise ValueError(f"{name!r} is not a tenant name")
    if not _INCARNATION.fullmatch(incarnation):
        raise ValueError(f"{incarnation!r} is not an incarnation: {INCARNATION_LENGTH} characters of a-z and 0-9")
    namespace = f"t-{name}-{incarnation}"
    # MariaDB takes hyphens only in quotes; an underscore stands in no tenant name, so the way back is clear.
    schema = namespace.replace("-", "_")
    return Names(
        namespace=namespace,
        stack=name,
        schema=schema,
        account_a=f"{schema}_a",
        account_b=f"{schema}_b",
        transit_key=namespace,
        kv_path=f"tenants/{namespace}",
        database_role_a=f"{namespace}-a",
        database_role_b=f"{namespace}-b",
        messaging_vhost=namespace,
        messaging_user=namespace,
        cache_user=namespace,
        cache_prefix=f"{namespace}:",
        backup_prefix=f"tenants/{namespace}/",
        state_key=f"state-{name}-{incarnation}",
        rds_instance=_single_hyphens(namespace),
        cache_user_id=f"t-{_digest(namespace, 2 * _DIGEST_LENGTH)}",
    )


def role_of_account(account: str) -> str:
    """OpenBao's static role that owns a tenant's database account: both are made of the namespace."""
    return account.replace("_", "-")


def _single_hyphens(namespace: str) -> str:
    """AWS refuses two hyphens in a row. A digest then takes the incarnation's place; it is longer than one, so that
    no other namespace has that form."""
    if "--" not in namespace:
        return namespace
    body = namespace[: -INCARNATION_LENGTH - 1]
    return f"{re.sub('-+', '-', body)}-{_digest(namespace, _DIGEST_LENGTH)}"


def _digest(text: str, length: int) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:length]


def tenant_of_namespace(namespace: str) -> tuple[str, str] | None:
    """(tenant name, incarnation) of a namespace of ours, None for any other namespace."""
    body = namespace.removeprefix("t-")
    name, hyphen, incarnation = body.rpartition("-")
    if body == namespace or not hyphen or len(name) > NAME_LENGTH:
        return None
    if not _NAME.fullmatch(name) or not _INCARNATION.fullmatch(incarnation):
        return None
    return name, incarnation
