"""Login matrices on the real RabbitMQ and Redis."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import redis.exceptions

from tenantry.openbao import openbao
from tenantry.tenancy.cell import Cell
from tenantry_components.providers.credential import Login, authority
from tenantry_components.providers.rabbitmq import UserProvider, VhostProvider
from tenantry_components.providers.rabbitmq_server import Management, server
from tenantry_components.providers.redis_acl import CacheUserProvider
from tenantry_components.providers.redis_server import connect


def stored(path: str) -> Login:
    found = openbao().kv_read("kv", path)
    assert found is not None
    return Login(username=found[0]["username"], password=found[0]["password"], authority=authority("kv"))


@pytest.fixture
def messaging(cell: Cell, tenant: str) -> Any:
    vhost = {
        "management_url": cell.spec.messaging.management_url,
        "vhost": tenant,
        "kv_mount": "kv",
        "max_queues": 5,
        "max_connections": 3,
    }
    user = {
        "management_url": cell.spec.messaging.management_url,
        "vhost": tenant,
        "kv_mount": "kv",
        "kv_path": f"tenants/{tenant}",
        "username": tenant,
        "permissions": "exact",
    }
    for provider, props in ((VhostProvider(), vhost), (UserProvider(), user)):
        provider.create(props)
        provider.create(props)
        assert provider.read("", props).inputs == props
    yield vhost, user
    for provider, props in ((UserProvider(), user), (VhostProvider(), vhost)):
        provider.delete("", props)
        provider.delete("", props)
        assert provider.read("", props).id == ""


def test_a_messaging_user_has_its_own_vhost_and_no_management(cell: Cell, messaging: Any, tenant: str) -> None:
    url = cell.spec.messaging.management_url
    rabbit = server(url=url, kv_mount="kv")
    grants = rabbit.get("users", tenant, "permissions")
    assert [grant["vhost"] for grant in grants or []] == [tenant]
    status, _ = Management(url=url, login=stored(f"tenants/{tenant}/messaging")).request("GET", "whoami")
    assert status == 401


def test_a_foreign_permission_is_taken_back(cell: Cell, messaging: Any, tenant: str) -> None:
    rabbit = server(url=cell.spec.messaging.management_url, kv_mount="kv")
    rabbit.put("permissions", "/", tenant, body={"configure": ".*", "write": ".*", "read": ".*"})
    _, user = messaging
    drifted = UserProvider().read("", user)
    assert drifted.inputs is not None
    assert drifted.inputs["permissions"] == "differ"
    UserProvider().update("", drifted.inputs, user)
    assert UserProvider().read("", user).inputs == user


@pytest.fixture
def caches(cell: Cell, tenant: str) -> Any:
    made = [
        {
            "host": cell.spec.cache.host,
            "port": cell.spec.cache.port,
            "username": name,
            "prefix": f"{name}:",
            "rules": "exact",
            "kv_mount": "kv",
            "kv_path": f"tenants/{name}",
        }
        for name in (f"{tenant}-a", f"{tenant}-b")
    ]
    for props in made:
        CacheUserProvider().create(props)
        CacheUserProvider().create(props)
        assert CacheUserProvider().read("", props).inputs == props
    yield made
    for props in made:
        CacheUserProvider().delete("", props)
        CacheUserProvider().delete("", props)
        assert CacheUserProvider().read("", props).id == ""


def log_in(cell: Cell, props: dict[str, Any]) -> redis.Redis:
    return connect(host=cell.spec.cache.host, port=cell.spec.cache.port, login=stored(f"{props['kv_path']}/cache"))


def test_a_cache_user_reads_and_writes_under_its_prefix_only(cell: Cell, caches: Any) -> None:
    own, other = caches
    session, neighbour = log_in(cell, own), log_in(cell, other)
    neighbour.set(f"{other['prefix']}k", "theirs")
    session.set(f"{own['prefix']}k", "mine", ex=60)
    assert session.eval("return redis.call('GET', KEYS[1])", 1, f"{own['prefix']}k") == "mine"
    for refused in (
        lambda: session.get(f"{other['prefix']}k"),
        lambda: session.eval("return redis.call('GET', KEYS[1])", 1, f"{other['prefix']}k"),
        lambda: session.publish(f"{other['prefix']}c", "x"),
        lambda: session.scan(),
        lambda: session.keys("*"),
        lambda: session.dbsize(),
        lambda: session.flushall(),
        lambda: session.config_get("*"),
        lambda: session.acl_list(),
        lambda: session.script_flush(),
    ):
        with pytest.raises((redis.exceptions.NoPermissionError, redis.exceptions.ResponseError)):
            refused()


def test_deleting_a_cache_user_deletes_its_keys_and_no_others(cell: Cell, caches: Any) -> None:
    own, other = caches
    log_in(cell, own).set(f"{own['prefix']}k", "mine")
    neighbour = log_in(cell, other)
    neighbour.set(f"{other['prefix']}k", "theirs")
    CacheUserProvider().delete("", own)
    assert neighbour.get(f"{other['prefix']}k") == "theirs"
    admin = connect(host=cell.spec.cache.host, port=cell.spec.cache.port, login=stored("cell/redis"))
    assert admin.keys(f"{own['prefix']}*") == []
