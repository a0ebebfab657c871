"""Keys and secrets on the real OpenBao, and who may use them: the token matrix."""

from __future__ import annotations

from collections.abc import Iterator

import hvac
import hvac.exceptions
import kubernetes.client
import kubernetes.config
import pytest

from tenantry.openbao import OpenBaoServer, openbao
from tenantry.tenancy.errors import Conflict, DependencyUnavailable
from tenantry_components.providers.openbao import KvSecretsProvider, TransitKeyProvider

# Admission policies hold every namespace with a tenant's name to them.
TENANT_LABELS = {"app.kubernetes.io/managed-by": "tenantry", "pod-security.kubernetes.io/enforce": "restricted"}


def client(environment: dict[str, str], token: str | None = None) -> hvac.Client:
    return hvac.Client(url=environment["VAULT_ADDR"], token=token, verify=environment["VAULT_CACERT"])


@pytest.fixture
def namespaces(environment: dict[str, str], tenant: str) -> Iterator[tuple[str, str, str]]:
    """Two tenants' namespaces, and one that is no tenant's, each with its default service account."""
    api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(environment["KUBECONFIG"]))
    names = (f"{tenant}-a", f"{tenant}-b", f"x{tenant}")
    for name in names:
        labels = {} if name.startswith("x") else {**TENANT_LABELS, "tenantry.dev/tenant": name}
        api.create_namespace({"metadata": {"name": name, "labels": labels}})
        api.create_namespaced_service_account(name, {"metadata": {"name": "workload"}})
    yield names
    for name in names:
        api.delete_namespace(name)


def pod_token(environment: dict[str, str], namespace: str, audience: str = "openbao") -> str:
    api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(environment["KUBECONFIG"]))
    request = {"spec": {"audiences": [audience], "expirationSeconds": 600}}
    return str(api.create_namespaced_service_account_token("workload", namespace, request).status.token)


def log_in(environment: dict[str, str], namespace: str, audience: str = "openbao") -> hvac.Client:
    anonymous = client(environment)
    jwt = pod_token(environment, namespace, audience)
    answer = anonymous.auth.kubernetes.login(role="tenant", jwt=jwt)
    return client(environment, answer["auth"]["client_token"])


def test_a_tenants_token_opens_its_own_paths_only(
    environment: dict[str, str], namespaces: tuple[str, str, str]
) -> None:
    own, other, _ = namespaces
    for name in (own, other):
        TransitKeyProvider().create({"key_name": name, "mount": "transit"})
        KvSecretsProvider().create({"mount": "kv", "path": f"tenants/{name}/app", "generate": {"secret_key": 16}})
    pod = log_in(environment, own)
    assert len(pod.read(f"kv/data/tenants/{own}/app")["data"]["data"]["secret_key"]) == 32
    sealed = pod.secrets.transit.encrypt_data(own, plaintext="aGVsbG8=")["data"]["ciphertext"]
    assert pod.secrets.transit.decrypt_data(own, ciphertext=sealed)["data"]["plaintext"] == "aGVsbG8="
    for refused in (
        lambda: pod.read(f"kv/data/tenants/{other}/app"),
        lambda: pod.read("kv/data/cell/redis"),
        lambda: pod.secrets.kv.v2.create_or_update_secret(f"tenants/{own}/app", {"a": "b"}, mount_point="kv"),
        lambda: pod.secrets.transit.encrypt_data(other, plaintext="aGVsbG8="),
        lambda: pod.secrets.transit.read_key(own),
        lambda: pod.secrets.database.get_static_credentials(f"{other}-a"),
        lambda: pod.secrets.database.get_static_credentials("tenantry-provisioner"),
        lambda: pod.sys.list_policies(),
    ):
        with pytest.raises(hvac.exceptions.Forbidden):
            refused()
    for name in (own, other):
        TransitKeyProvider().delete("", {"key_name": name, "mount": "transit"})
        KvSecretsProvider().delete("", {"mount": "kv", "path": f"tenants/{name}/app", "generate": {}})


def test_a_namespace_that_is_no_tenants_cannot_log_in(
    environment: dict[str, str], namespaces: tuple[str, str, str]
) -> None:
    with pytest.raises((hvac.exceptions.Forbidden, hvac.exceptions.InvalidRequest)):
        log_in(environment, namespaces[2])


def test_a_token_for_another_audience_cannot_log_in(
    environment: dict[str, str], namespaces: tuple[str, str, str]
) -> None:
    with pytest.raises((hvac.exceptions.Forbidden, hvac.exceptions.InvalidRequest)):
        log_in(environment, namespaces[0], audience="https://kubernetes.default.svc")


def test_a_provisioners_token_makes_and_removes_a_tenant_and_reads_no_secret(
    environment: dict[str, str], tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = client(environment, environment["VAULT_TOKEN"]).auth.token.create(
        policies=["tenantry-provisioner"], ttl="5m"
    )
    monkeypatch.setenv("VAULT_TOKEN", made["auth"]["client_token"])
    key, app = (
        {"key_name": tenant, "mount": "transit"},
        {"mount": "kv", "path": f"tenants/{tenant}/app", "generate": {"a": 16}},
    )
    for provider, props in ((TransitKeyProvider(), key), (KvSecretsProvider(), app)):
        provider.create(props)
        provider.create(props)
        assert provider.read("", props).inputs == props
    KvSecretsProvider().update("", app, {**app, "generate": {"a": 16, "b": 8}})
    for path in (
        f"kv/data/tenants/{tenant}/app",
        "sys/policies/acl/tenantry-tenant",
        f"database/static-creds/{tenant}-a",
    ):
        with pytest.raises(DependencyUnavailable, match="may not do this"):
            openbao().read(path)
    with pytest.raises(DependencyUnavailable, match="may not do this"):
        openbao().write(f"transit/encrypt/{tenant}", {"plaintext": "aGVsbG8="})
    for provider, props in ((TransitKeyProvider(), key), (KvSecretsProvider(), app)):
        provider.delete("", props)
        provider.delete("", props)
        assert provider.read("", props).id == ""


def test_generated_secrets_keep_their_values_when_fields_are_added(tenant: str) -> None:
    provider, path = KvSecretsProvider(), f"tenants/{tenant}/app"
    props = {"mount": "kv", "path": path, "generate": {"a": 16.0}}
    provider.create(props)
    first = openbao().kv_read("kv", path)
    provider.update("", props, {**props, "generate": {"a": 99, "b": 8}})
    second = openbao().kv_read("kv", path)
    assert first is not None
    assert second is not None
    assert second[0]["a"] == first[0]["a"]
    assert len(second[0]["b"]) == 16
    provider.delete("", props)


def test_a_deleted_secret_is_not_made_anew(tenant: str) -> None:
    provider, path = KvSecretsProvider(), f"tenants/{tenant}/app"
    props = {"mount": "kv", "path": path, "generate": {"a": 16}}
    provider.create(props)
    openbao().delete(f"kv/data/{path}")
    with pytest.raises(Conflict, match="was deleted"):
        provider.create(props)
    provider.delete("", props)


def test_a_wrong_authority_is_said_plainly(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = OpenBaoServer(address=environment["VAULT_ADDR"], token="x", ca_file=None)
    with pytest.raises(DependencyUnavailable, match="certificate"):
        server.read("sys/mounts")
