"""The inventory finds a planted trace in every system, and the deletion stays open until it is gone."""

from __future__ import annotations

import json
import secrets
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hvac
import kubernetes.client
import pytest
import redis
import requests
import urllib3
from hvac.exceptions import Forbidden

from tenantry.deprovisioning import Deprovisioning, Lingering
from tenantry.deprovisioning.deprovisioning import LeftOver
from tenantry.inventory import Inventory, Subject, search
from tenantry.inventory.openbao import OpenBaoReader, search_openbao
from tenantry.tenancy.deletion import Step
from tenantry.tenancy.errors import DependencyUnavailable
from tests.integration.deprovisioning.conftest import Make, Systems

Undo = Callable[[], object]


def vault(systems: Systems, method: str, path: str, **body: Any) -> Any:
    return systems.openbao.adapter.request(method, f"/v1/{path}", json=body or None)


def written(path: str, **body: Any) -> Callable[[Systems, str], Undo]:
    """Plant by a write to OpenBao; `MARK` in path and body stands for the incarnation."""

    def plant(systems: Systems, mark: str) -> Undo:
        filled = json.loads(json.dumps(body).replace("MARK", mark))
        where = path.replace("MARK", mark)
        vault(systems, "post", where, **filled)
        gone = where.replace("/data/", "/metadata/")
        return lambda: vault(systems, "delete", gone)

    return plant


def transit_key(systems: Systems, mark: str) -> Undo:
    vault(systems, "post", f"transit/keys/{mark}", type="aes256-gcm96")
    vault(systems, "post", f"transit/keys/{mark}/config", deletion_allowed=True)
    return lambda: vault(systems, "delete", f"transit/keys/{mark}")


def entity(systems: Systems, mark: str) -> Undo:
    made = vault(systems, "post", "identity/entity", name=f"x-{mark}")["data"]["id"]
    return lambda: vault(systems, "delete", f"identity/entity/id/{made}")


def token(systems: Systems, mark: str) -> Undo:
    accessor = vault(systems, "post", "auth/token/create", meta={"service_account_namespace": mark}, ttl="5m")["auth"]
    return lambda: vault(systems, "post", "auth/token/revoke-accessor", accessor=accessor["accessor"])


def sql(statement: str, undo: str) -> Callable[[Systems, str], Undo]:
    def plant(systems: Systems, mark: str) -> Undo:
        systems.as_provisioner(statement.replace("MARK", mark))
        return lambda: systems.as_provisioner(undo.replace("MARK", mark))

    return plant


def static_role(systems: Systems, mark: str) -> Undo:
    account, path = f"x{secrets.token_hex(4)}", f"database/static-roles/t-acme-{mark}-a"
    systems.as_provisioner(f"CREATE USER '{account}'@'%' REQUIRE SSL")
    vault(systems, "post", path, db_name="shared", username=account, rotation_period="24h")

    def undo() -> None:
        vault(systems, "delete", path)
        systems.as_provisioner(f"DROP USER '{account}'@'%'")

    return undo


def grant(systems: Systems, mark: str) -> Undo:
    """Rights of a foreign account on a schema that is gone."""
    account = f"x{secrets.token_hex(4)}"
    systems.as_provisioner(f"CREATE USER '{account}'@'%'")
    systems.as_provisioner(f"GRANT SELECT ON `t\\_acme\\_{mark}`.* TO '{account}'@'%'")
    return lambda: systems.as_provisioner(f"DROP USER '{account}'@'%'")


def foreign_schema(systems: Systems, mark: str) -> Undo:
    """A copy that somebody made under a name that tenants never have: an administrator's doing."""

    def run(statement: str) -> None:
        role = f"tenantry-x{mark}"
        vault(
            systems,
            "post",
            f"database/roles/{role}",
            db_name="shared",
            default_ttl="1m",
            creation_statements=[statement, "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'"],
            revocation_statements=["DROP USER '{{name}}'@'%'"],
        )
        lease = systems.openbao.read(f"database/creds/{role}")["lease_id"]
        vault(systems, "put", "sys/leases/revoke", lease_id=lease, sync=True)
        vault(systems, "delete", f"database/roles/{role}")

    run(f"CREATE DATABASE copy_of_{mark}")
    return lambda: run(f"DROP DATABASE copy_of_{mark}")


def rabbit(path: str, **body: Any) -> Callable[[Systems, str], Undo]:
    def plant(systems: Systems, mark: str) -> Undo:
        login, url = systems.login("rabbitmq"), systems.fleet.cell.spec.messaging.management_url
        context = ssl.create_default_context(cadata=systems.fleet.cell.spec.ca_bundle)
        headers = urllib3.make_headers(basic_auth=f"{login['username']}:{login['password']}")

        def call(method: str) -> None:
            with urllib3.PoolManager(ssl_context=context) as pool:
                filled = json.dumps(body).replace("MARK", mark)
                answer = pool.request(method, f"{url}/api/{path.replace('MARK', mark)}", headers=headers, body=filled)
                assert answer.status < 300, answer.data

        call("PUT")
        return lambda: call("DELETE")

    return plant


def cache(*command: str, undo: tuple[str, ...], database: int = 0) -> Callable[[Systems, str], Undo]:
    def plant(systems: Systems, mark: str) -> Undo:
        login, server = systems.login("redis"), systems.fleet.cell.spec.cache

        def run(words: tuple[str, ...]) -> None:
            with redis.Redis(
                host=server.host,
                port=server.port,
                db=database,
                username=login["username"],
                password=login["password"],
                ssl=True,
                ssl_ca_data=systems.fleet.cell.spec.ca_bundle,
            ) as connection:
                connection.execute_command(*(word.replace("MARK", mark) for word in words))

        run(command)
        return lambda: run(undo)

    return plant


def config_map(where: str) -> Callable[[Systems, str], Undo]:
    def plant(systems: Systems, mark: str) -> Undo:
        name = f"x-{mark}" if where == "name" else f"x-{secrets.token_hex(4)}"
        body: dict[str, Any] = {"metadata": {"name": name}}
        if where == "label":
            body["metadata"]["labels"] = {"tenantry.dev/incarnation": mark}
        if where == "content":
            body["data"] = {"note": f"see t-acme-{mark}"}
        systems.core.create_namespaced_config_map("default", body)
        return lambda: systems.core.delete_namespaced_config_map(name, "default")

    return plant


def namespace(systems: Systems, mark: str) -> Undo:
    name = f"left-{mark}"
    systems.core.create_namespace({"metadata": {"name": name}})
    return lambda: systems.core.delete_namespace(name)


def volume(systems: Systems, mark: str) -> Undo:
    """A volume whose claim is gone."""
    name = f"x-{secrets.token_hex(4)}"
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/nowhere"},
        "claimRef": {"namespace": f"t-acme-{mark}", "name": "files"},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    systems.core.create_persistent_volume({"metadata": {"name": name}, "spec": spec})
    return lambda: systems.core.delete_persistent_volume(name)


def cluster_role(systems: Systems, mark: str) -> Undo:
    api = kubernetes.client.RbacAuthorizationV1Api(systems.core.api_client)
    api.create_cluster_role({"metadata": {"name": f"x-{mark}"}, "rules": []})
    return lambda: api.delete_cluster_role(f"x-{mark}")


def file(name: str, text: str = "") -> Callable[[Systems, str], Undo]:
    def plant(systems: Systems, mark: str) -> Undo:
        path = systems.fleet.folder / name.replace("MARK", mark)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("MARK", mark))
        return path.unlink

    return plant


def backup(name: str) -> Callable[[Systems, str], Undo]:
    def plant(systems: Systems, mark: str) -> Undo:
        path = Path(systems.fleet.cell.spec.backups.url) / name.replace("MARK", mark)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")

        def undo() -> None:
            path.unlink()
            path.parent.rmdir()

        return undo

    return plant


PLANTED = {
    "openbao transit key": transit_key,
    "openbao secret": written("kv/data/tenants/t-acme-MARK/deep/app", data={"a": "b"}),
    "openbao secret in the cell's own folder": written("kv/data/cell/egress/t-acme-MARK", data={"a": "b"}),
    "openbao static database role": static_role,
    "openbao database role": written("database/roles/t-acme-MARK", db_name="shared", creation_statements=["SELECT 1"]),
    "openbao database connection": written(
        "database/config/t-acme-MARK",
        plugin_name="mysql-database-plugin",
        connection_url="{{username}}:{{password}}@tcp(127.0.0.1:1)/",
        username="x",
        password="x",
        verify_connection=False,
    ),
    "openbao policy by name": written("sys/policies/acl/x-MARK", policy='path "x" { capabilities = ["read"] }'),
    "openbao policy by text": written("sys/policies/acl/x", policy='path "kv/MARK" { capabilities = ["read"] }'),
    "openbao auth role": written(
        "auth/kubernetes/role/x-MARK", bound_service_account_names=["x"], bound_service_account_namespaces=["x"]
    ),
    "openbao mount": written("sys/mounts/x-MARK", type="transit"),
    "openbao identity entity": entity,
    "openbao token": token,
    "mariadb schema": sql("CREATE DATABASE t_acme_MARK", "DROP DATABASE t_acme_MARK"),
    "mariadb schema of a foreign name": foreign_schema,
    "mariadb account": sql("CREATE USER 'MARK'@'10.%'", "DROP USER 'MARK'@'10.%'"),
    "mariadb grant": grant,
    "rabbitmq vhost": rabbit("vhosts/t-acme-MARK"),
    "rabbitmq user": rabbit("users/t-acme-MARK", password_hash="", tags=""),
    "rabbitmq policy": rabbit("policies/%2F/x-MARK", pattern="x", definition={"max-length": 1}),
    "rabbitmq queue": rabbit("queues/%2F/x-MARK", durable=True),
    "redis account": cache("ACL", "SETUSER", "t-acme-MARK", undo=("ACL", "DELUSER", "t-acme-MARK")),
    "redis rule of another account": cache("ACL", "SETUSER", "x", "~t-acme-MARK:*", undo=("ACL", "DELUSER", "x")),
    "redis key": cache("SET", "t-acme-MARK:a", "1", undo=("DEL", "t-acme-MARK:a")),
    "redis key in another database": cache("SET", "t-acme-MARK:a", "1", undo=("DEL", "t-acme-MARK:a"), database=3),
    "kubernetes name": config_map("name"),
    "kubernetes label": config_map("label"),
    "kubernetes content": config_map("content"),
    "kubernetes namespace": namespace,
    "kubernetes volume of a gone claim": volume,
    "kubernetes cluster role": cluster_role,
    "files state": file("state/.pulumi/stacks/tenantry/acme.json.bak", '{"namespace": "t-acme-MARK"}'),
    "files history": file("state/.pulumi/history/tenantry/acme-MARK.json"),
    "files journal": file("operations/t-acme-MARK/release.json", "{}"),
    "files record": file("tenants/acme-old.json", '{"incarnation": "MARK"}'),
    "store backup": backup("tenants/t-acme-MARK/manifest.json"),
    "store export": backup("exports/t-acme-MARK/data.age"),
    "store foreign folder": backup("somewhere-MARK/x"),
}


@pytest.fixture
def mark() -> str:
    """An incarnation that nobody has: letters that hexadecimal uids do not have."""
    return "".join(secrets.choice("ghijkmnpqrstuvwxyz") for _ in range(8))


def look(systems: Systems, mark: str, *hosts: str) -> Inventory:
    subject = Subject(name="acme", incarnation=mark, hosts=hosts)
    token = systems.fleet.deprovisioner.token()
    assert token is not None
    return search(subject, cell=systems.fleet.cell, root=systems.fleet.folder, token=token)


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_trace_is_found_and_nothing_else(systems: Systems, mark: str, what: str) -> None:
    with ExitStack() as planted:
        planted.callback(PLANTED[what](systems, mark))
        found = look(systems, mark)
    assert found.result == "left-over"
    assert {one.system for one in found.left} == {what.split(" ")[0]}


def test_an_ingress_for_one_of_its_hosts_is_found_though_it_carries_no_incarnation(systems: Systems, mark: str) -> None:
    api = kubernetes.client.NetworkingV1Api(systems.core.api_client)
    host = f"{secrets.token_hex(6)}.example.com"
    backend = {"service": {"name": "x", "port": {"number": 80}}}
    rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    api.create_namespaced_ingress("default", {"metadata": {"name": f"x-{host[:6]}"}, "spec": {"rules": [rule]}})
    found = look(systems, mark, host)
    api.delete_namespaced_ingress(f"x-{host[:6]}", "default")
    assert [(one.kind, one.name) for one in found.left] == [("ingresses", f"default/x-{host[:6]}")]
    assert look(systems, mark, host).result == "nothing-left"


def test_lists_are_read_to_their_last_page(systems: Systems, mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Kubernetes' own kinds the list's metadata comes first, of custom resources last."""
    monkeypatch.setattr("tenantry.inventory.kubernetes._PAGE", "1")
    own, custom = systems.core, kubernetes.client.CustomObjectsApi(systems.core.api_client)
    where = ("tenantry.dev", "v1alpha1", "tenants")
    spec = {"displayName": "X", "owner": "a@example.com", "plan": "nothing-is-made", "environment": "test"}
    head = {"apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant"}
    names = [f"x{number}-{mark}" for number in range(3)]
    with ExitStack() as planted:
        for name in names:
            own.create_namespaced_config_map("default", {"metadata": {"name": name}})
            planted.callback(own.delete_namespaced_config_map, name, "default")
            custom.create_cluster_custom_object(*where, {**head, "metadata": {"name": name}, "spec": spec})
            planted.callback(custom.delete_cluster_custom_object, *where, name)
        found = look(systems, mark)
    expected = [("configmaps", f"default/{name}") for name in names] + [("tenants", name) for name in names]
    assert sorted((one.kind, one.name) for one in found.left) == expected


def test_where_nothing_is_planted_nothing_is_found_and_much_was_looked_at(systems: Systems, mark: str) -> None:
    found = look(systems, mark)
    assert found.result == "nothing-left"
    looked_at = {**found.looked_at, "store": 1}
    assert all(count > 0 for count in looked_at.values()), looked_at


def test_tokens_that_run_out_meanwhile_are_no_hindrance_and_a_refusal_is_one(systems: Systems, mark: str) -> None:
    for _ in range(40):
        systems.openbao.auth.token.create(ttl="2s", policies=["default"])
    until = time.monotonic() + 5
    while time.monotonic() < until:
        assert look(systems, mark).result == "nothing-left"
    policy = systems.openbao.sys.read_policy("tenantry-deprovisioner")["data"]["rules"]
    assert "lookup-accessor" in policy
    systems.openbao.sys.create_or_update_policy("half", policy.replace("lookup-accessor", "another-path"))
    half = systems.openbao.auth.token.create(ttl="1m", policies=["half", "default"])["auth"]["client_token"]
    reader = OpenBaoReader(address=systems.openbao.url, token=half)
    with pytest.raises(DependencyUnavailable, match="lookup-accessor"):
        search_openbao(Subject(name="acme", incarnation=mark), reader)


def test_a_deletion_stays_open_while_a_trace_is_left_and_ends_when_it_is_gone(
    systems: Systems, deprovisioning: Deprovisioning, make: Make
) -> None:
    made = make()
    systems.as_provisioner(f"CREATE DATABASE {made.names.schema}_copy")
    deprovisioning.request(made.name, by="tests", now=True)
    for _ in range(2):
        open_still = deprovisioning.advance(made.name)
        assert isinstance(open_still.error, LeftOver)
        assert f"mariadb: schema {made.names.schema}_copy" in open_still.error.message
        assert open_still.tombstone is None
        assert open_still.deletion.failure is not None
        assert open_still.deletion.failure.step is Step.INVENTORY
    assert systems.as_provisioner(f"SHOW DATABASES LIKE '{made.names.schema}%'") == ((f"{made.names.schema}_copy",),)
    systems.as_provisioner(f"DROP DATABASE {made.names.schema}_copy")
    assert deprovisioning.advance(made.name).tombstone is not None


def test_what_kubernetes_itself_still_removes_is_waited_for_and_asks_for_no_hand(
    systems: Systems, deprovisioning: Deprovisioning, make: Make
) -> None:
    made = make()
    api = kubernetes.client.NetworkingV1Api(systems.core.api_client)
    service = {"resource": "services", "namespace": made.names.namespace, "name": "web"}
    # None that the API server has given out, so that its repair leaves it alone.
    address = {"metadata": {"name": "203.0.113.7"}, "spec": {"parentRef": service}}
    api.create_ip_address(address)
    try:
        deprovisioning.request(made.name, by="tests", now=True)
        waiting = deprovisioning.advance(made.name)
        assert isinstance(waiting.error, Lingering)
        assert "ipaddresses 203.0.113.7" in waiting.sentence
        assert (waiting.tombstone, waiting.deletion.failure) == (None, None)
        assert waiting.again_at is not None
    finally:
        api.delete_ip_address("203.0.113.7")
    assert deprovisioning.advance(made.name).tombstone is not None


def test_a_tenants_token_is_revoked_and_its_identity_gone(
    systems: Systems, deprovisioning: Deprovisioning, make: Make
) -> None:
    made = make()
    request = {"spec": {"audiences": [systems.fleet.cell.spec.openbao.audience], "expirationSeconds": 600}}
    account = systems.core.list_namespaced_service_account(made.names.namespace).items
    name = next(one.metadata.name for one in account if one.metadata.name != "default")
    jwt = systems.core.create_namespaced_service_account_token(name, made.names.namespace, request).status.token
    login = vault(systems, "post", "auth/kubernetes/login", role="tenant", jwt=jwt)["auth"]
    assert systems.openbao.lookup_token(login["client_token"])["data"]["meta"]["service_account_namespace"]
    assert {one.kind for one in look(systems, made.incarnation).left} >= {"token", "identity entity"}
    deprovisioning.request(made.name, by="tests", now=True)
    ended = deprovisioning.advance(made.name)
    assert ended.error is None, ended.error
    accessors = systems.openbao.list("auth/token/accessors")["data"]["keys"]
    assert login["accessor"] not in accessors
    assert systems.openbao.read(f"identity/entity/id/{login['entity_id']}") is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "kv/data/tenants/t-acme-abcd2345/app"),
        ("post", "kv/data/tenants/t-acme-abcd2345/app"),
        ("get", "database/static-creds/t-acme-abcd2345-a"),
        ("get", "database/config/shared"),
        ("post", "transit/decrypt/t-acme-abcd2345"),
        ("delete", "transit/keys/tenantry-certificates"),
        ("get", "transit/export/signing-key/tenantry-certificates"),
        ("post", "sys/policies/acl/tenantry-deprovisioner"),
        ("post", "auth/kubernetes/role/deprovisioner"),
        ("post", "auth/token/create"),
        ("post", "identity/entity"),
        ("put", "sys/leases/revoke"),
        ("get", "cell/data/1"),
    ],
)
def test_who_deletes_reads_no_secret_and_changes_nobodys_rights(systems: Systems, method: str, path: str) -> None:
    body = {} if method == "get" else {"json": {}}
    with requests.Session() as session:
        session.trust_env = False
        session.verify = systems.platform.environment()["VAULT_CACERT"]
        client = hvac.Client(url=systems.openbao.url, token=systems.fleet.deprovisioner.token(), session=session)
        with pytest.raises(Forbidden):
            client.adapter.request(method, f"/v1/{path}", **body)
