"""A cell's things in OpenBao: mounts, policies, the Kubernetes auth method and its role, the shared authority."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi.dynamic import Resource
from pydantic import Field
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from tenantry.openbao import openbao
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput
from tenantry_components.providers.credential import AUTHORITY
from tenantry_components.providers.provider import Inputs, UpsertProvider
from tenantry_components.providers.reviewer import reviewer_token

__all__ = ["ACCESSOR", "Authority", "KubernetesAuth", "KubernetesAuthRole", "Mount", "Policy"]

ACCESSOR = "${kubernetes_accessor}"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_IN_CLUSTER = "https://kubernetes.default.svc"


class MountInputs(Inputs):
    mount: str = Field(pattern=_NAME)
    kind: str = Field(pattern="^(transit|kv|database)$")


class MountProvider(UpsertProvider[MountInputs]):
    model = MountInputs
    identity = ("mount", "kind")

    def ensure(self, wanted: MountInputs) -> None:
        if self.observe(wanted) is None:
            options = {"version": "2"} if wanted.kind == "kv" else {}
            openbao().write(f"sys/mounts/{wanted.mount}", {"type": wanted.kind, "options": options})
        if wanted.kind == "kv":
            # A new kv store refuses everything for a moment, while OpenBao lays out its versions.
            ready = Retrying(
                retry=retry_if_exception_type(InvalidInput),
                stop=stop_after_delay(15),
                wait=wait_fixed(0.1),
                reraise=True,
            )
            ready(openbao().read, f"{wanted.mount}/config")

    def observe(self, wanted: MountInputs) -> Mapping[str, Any] | None:
        live = (openbao().read("sys/mounts") or {}).get(f"{wanted.mount}/")
        return None if live is None else {"kind": live["type"]}

    def remove(self, wanted: MountInputs) -> None:
        openbao().delete(f"sys/mounts/{wanted.mount}")


class Mount(Resource, module="tenantry", name="Mount"):
    """A secrets engine. Deleting the resource destroys all that the engine holds, every tenant's: protect it.

    mount: name without slashes. kind: transit, kv (version 2) or database.
    """

    mount: pulumi.Output[str]
    kind: pulumi.Output[str]

    def __init__(
        self, resource_name: str, *, mount: str, kind: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(MountProvider(), resource_name, {"mount": mount, "kind": kind}, opts)


class AuthorityInputs(Inputs):
    kv_mount: str = Field(pattern=_NAME)
    pem: str


class AuthorityProvider(UpsertProvider[AuthorityInputs]):
    model = AuthorityInputs
    identity = ("kv_mount",)

    def ensure(self, wanted: AuthorityInputs) -> None:
        found = openbao().kv_read(wanted.kv_mount, AUTHORITY)
        if found is None or found[0] != {"pem": wanted.pem}:
            version = 0 if found is None else found[1]
            openbao().kv_write(wanted.kv_mount, AUTHORITY, {"pem": wanted.pem}, version=version)

    def observe(self, wanted: AuthorityInputs) -> Mapping[str, Any] | None:
        found = openbao().kv_read(wanted.kv_mount, AUTHORITY)
        return None if found is None else {"pem": str(found[0].get("pem", ""))}

    def remove(self, wanted: AuthorityInputs) -> None:
        openbao().kv_destroy(wanted.kv_mount, AUTHORITY)


class Authority(Resource, module="tenantry", name="Authority"):
    """The authority (PEM, public) that the providers trust for MariaDB, Redis and RabbitMQ, in kv `cell/authority`."""

    kv_mount: pulumi.Output[str]
    pem: pulumi.Output[str]

    def __init__(
        self, resource_name: str, *, kv_mount: str, pem: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(AuthorityProvider(), resource_name, {"kv_mount": kv_mount, "pem": pem}, opts)


class KubernetesAuthInputs(Inputs):
    mount: str = Field(pattern=_NAME)
    reviewer: str = Field(pattern=r"^$|^[a-z0-9-]+/[a-z0-9-]+$")
    renewal: str


class KubernetesAuthProvider(UpsertProvider[KubernetesAuthInputs]):
    model = KubernetesAuthInputs
    identity = ("mount",)

    def ensure(self, wanted: KubernetesAuthInputs) -> None:
        if _auth_accessor(wanted.mount) is None:
            openbao().write(f"sys/auth/{wanted.mount}", {"type": "kubernetes"})
        settings: dict[str, Any] = {"kubernetes_host": _IN_CLUSTER, "disable_local_ca_jwt": False}
        if wanted.reviewer:
            namespace, account = wanted.reviewer.split("/")
            token = reviewer_token(namespace=namespace, account=account)
            settings = {
                "kubernetes_host": token.server,
                "kubernetes_ca_cert": token.authority,
                "token_reviewer_jwt": token.token,
                "disable_local_ca_jwt": True,
            }
        openbao().write(f"auth/{wanted.mount}/config", settings)

    def observe(self, wanted: KubernetesAuthInputs) -> Mapping[str, Any] | None:
        if _auth_accessor(wanted.mount) is None:
            return None
        return None if openbao().read(f"auth/{wanted.mount}/config") is None else {}

    def remove(self, wanted: KubernetesAuthInputs) -> None:
        openbao().delete(f"sys/auth/{wanted.mount}")


def _auth_accessor(mount: str) -> str | None:
    live = (openbao().read("sys/auth") or {}).get(f"{mount}/")
    return None if live is None else str(live["accessor"])


class KubernetesAuth(Resource, module="tenantry", name="KubernetesAuth"):
    """The auth method by which pods log in with a projected token, which OpenBao has the cluster review.

    Who may review: an OpenBao pod of the cluster with its own rotating token (reviewer ""), or an OpenBao outside
    of it with a token of the service account `reviewer` ("namespace/name", which may review tokens and read
    namespaces). The login's own token cannot serve: every tenant would need the right to review.
    That token is made by the TokenRequest API, stands in OpenBao alone, lives a year and is renewed whenever
    `renewal` (any text, such as the month) changes.
    """

    mount: pulumi.Output[str]
    reviewer: pulumi.Output[str]
    renewal: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        mount: str,
        reviewer: str,
        renewal: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"mount": mount, "reviewer": reviewer, "renewal": renewal}
        super().__init__(KubernetesAuthProvider(), resource_name, props, opts)


class KubernetesAuthRoleInputs(Inputs):
    mount: str = Field(pattern=_NAME)
    role: str = Field(pattern=_NAME)
    namespace_selector: str
    service_accounts: tuple[str, ...]
    audience: str = Field(min_length=1)
    policies: tuple[str, ...]
    ttl_s: int = Field(ge=60)
    periodic: bool = False


class KubernetesAuthRoleProvider(UpsertProvider[KubernetesAuthRoleInputs]):
    model = KubernetesAuthRoleInputs
    identity = ("mount", "role")

    def ensure(self, wanted: KubernetesAuthRoleInputs) -> None:
        openbao().write(
            f"auth/{wanted.mount}/role/{wanted.role}",
            {
                "bound_service_account_names": list(wanted.service_accounts),
                "bound_service_account_namespaces": [],
                "bound_service_account_namespace_selector": wanted.namespace_selector,
                "audience": wanted.audience,
                "alias_name_source": "serviceaccount_uid",
                "token_policies": list(wanted.policies),
                "token_no_default_policy": False,
                "token_ttl": wanted.ttl_s,
                "token_max_ttl": 0 if wanted.periodic else wanted.ttl_s * 24,
                "token_period": wanted.ttl_s if wanted.periodic else 0,
            },
        )

    def observe(self, wanted: KubernetesAuthRoleInputs) -> Mapping[str, Any] | None:
        live = openbao().read(f"auth/{wanted.mount}/role/{wanted.role}")
        if live is None:
            return None
        return {
            "namespace_selector": live["bound_service_account_namespace_selector"],
            "service_accounts": list(live["bound_service_account_names"]),
            "audience": live.get("audience", ""),
            "policies": list(live["token_policies"]),
            "ttl_s": int(live["token_ttl"]),
            "periodic": bool(live.get("token_period")),
        }

    def remove(self, wanted: KubernetesAuthRoleInputs) -> None:
        openbao().delete(f"auth/{wanted.mount}/role/{wanted.role}")


class KubernetesAuthRole(Resource, module="tenantry", name="KubernetesAuthRole"):
    """Who may log in through a Kubernetes auth mount, and what the token may do.

    namespace_selector: labels of the namespaces, JSON `{"matchLabels": …}` (OpenBao takes no expressions).
    service_accounts: names, "*" for all. audience: the token's. policies: their names. ttl_s: life of OpenBao's
    token, renewable up to 24 times that, or without an end when it is periodic.
    """

    mount: pulumi.Output[str]
    role: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        mount: str,
        role: str,
        namespace_selector: str,
        service_accounts: Sequence[str],
        audience: str,
        policies: Sequence[str],
        ttl_s: int,
        periodic: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "mount": mount,
            "role": role,
            "namespace_selector": namespace_selector,
            "service_accounts": list(service_accounts),
            "audience": audience,
            "policies": list(policies),
            "ttl_s": ttl_s,
            "periodic": periodic,
        }
        super().__init__(KubernetesAuthRoleProvider(), resource_name, props, opts)


class PolicyInputs(Inputs):
    policy: str = Field(pattern=_NAME)
    text: str
    kubernetes_mount: str


class PolicyProvider(UpsertProvider[PolicyInputs]):
    model = PolicyInputs
    identity = ("policy",)

    def ensure(self, wanted: PolicyInputs) -> None:
        openbao().write(f"sys/policies/acl/{wanted.policy}", {"policy": _filled_in(wanted)})

    def observe(self, wanted: PolicyInputs) -> Mapping[str, Any] | None:
        live = openbao().read(f"sys/policies/acl/{wanted.policy}")
        if live is None:
            return None
        return {"text": wanted.text if live["policy"] == _filled_in(wanted) else str(live["policy"])}

    def remove(self, wanted: PolicyInputs) -> None:
        openbao().delete(f"sys/policies/acl/{wanted.policy}")


def _filled_in(wanted: PolicyInputs) -> str:
    if ACCESSOR not in wanted.text:
        return wanted.text
    accessor = _auth_accessor(wanted.kubernetes_mount)
    if accessor is None:
        raise DependencyUnavailable(
            f"OpenBao has no auth method at {wanted.kubernetes_mount}, which policy {wanted.policy} speaks of",
            where=f"auth/{wanted.kubernetes_mount}",
            hint="make the Kubernetes auth method first: `tenantry cell up`",
        )
    return wanted.text.replace(ACCESSOR, accessor)


class Policy(Resource, module="tenantry", name="Policy"):
    """An ACL policy. `${kubernetes_accessor}` in its text stands for the accessor of the auth mount
    `kubernetes_mount`, which only OpenBao knows and which it is asked for when the policy is written."""

    policy: pulumi.Output[str]
    text: pulumi.Output[str]
    kubernetes_mount: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        policy: str,
        text: str,
        kubernetes_mount: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"policy": policy, "text": text, "kubernetes_mount": kubernetes_mount}
        super().__init__(PolicyProvider(), resource_name, props, opts)
