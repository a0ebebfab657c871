"""What holds for every dynamic provider, without any server."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pulumi.dynamic.dynamic import serialize_provider

from tenantry_components.providers import (
    adoption,
    database_connection,
    mariadb,
    openbao,
    openbao_cell,
    rabbitmq,
    redis_acl,
    token_role,
)
from tenantry_components.providers.provider import UpsertProvider

PROVIDERS: tuple[type[UpsertProvider[Any]], ...] = (
    adoption.AdoptedRabbitMqProvider,
    adoption.AdoptedRedisProvider,
    database_connection.DatabaseConnectionProvider,
    mariadb.AccountProvider,
    mariadb.SchemaProvider,
    openbao.DatabaseStaticRoleProvider,
    openbao.KvSecretsProvider,
    openbao.TransitKeyProvider,
    openbao_cell.AuthorityProvider,
    openbao_cell.KubernetesAuthProvider,
    openbao_cell.KubernetesAuthRoleProvider,
    openbao_cell.MountProvider,
    openbao_cell.PolicyProvider,
    rabbitmq.UserProvider,
    rabbitmq.VhostProvider,
    redis_acl.CacheUserProvider,
    token_role.TokenRoleProvider,
)
ACCOUNT = {
    "host": "db",
    "port": 3306,
    "username": "t_a_a",
    "schema": "t_a",
    "max_connections": 3,
    "grants": "exact",
    "kv_mount": "kv",
    "database_mount": "database",
}


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.__name__)
def test_a_pickle_is_a_reference_to_the_class(provider: type[UpsertProvider[Any]]) -> None:
    pickled = base64.b64decode(serialize_provider(provider()))
    assert pickled == base64.b64decode(serialize_provider(provider()))
    assert provider.__module__.encode() in pickled
    assert len(pickled) < 200


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.__name__)
def test_no_input_can_be_a_password(provider: type[UpsertProvider[Any]]) -> None:
    assert not [name for name in provider.model.model_fields if "password" in name or "token" in name]


def test_integers_that_arrive_as_floats_are_no_difference() -> None:
    result = mariadb.AccountProvider().diff("", {**ACCOUNT, "port": 3306.0, "__provider": "a"}, dict(ACCOUNT))
    assert result.changes is False
    assert result.replaces == []


def test_another_username_replaces_the_account_and_deletes_the_old_one_first() -> None:
    result = mariadb.AccountProvider().diff("", dict(ACCOUNT), {**ACCOUNT, "username": "t_b_a"})
    assert result.replaces == ["username"]
    assert result.delete_before_replace is True


def test_a_server_that_moves_replaces_no_schema() -> None:
    olds = {"host": "db", "port": 3306, "schema": "t_a", "kv_mount": "kv", "database_mount": "database"}
    result = mariadb.SchemaProvider().diff("", olds, {**olds, "host": "other"})
    assert (result.changes, result.replaces) == (True, [])


@pytest.mark.parametrize(
    ("field", "value"),
    [("username", "a'; DROP USER root"), ("schema", "a`b"), ("port", 0), ("max_connections", 0), ("host", "")],
)
def test_inputs_that_cannot_be_names_or_sizes_are_refused(field: str, value: object) -> None:
    failures = mariadb.AccountProvider().check({}, {**ACCOUNT, field: value}).failures
    assert [failure.property for failure in failures] == [field]


def test_an_unknown_input_is_refused() -> None:
    assert mariadb.AccountProvider().check({}, {**ACCOUNT, "superuser": True}).failures


def test_sound_inputs_pass() -> None:
    assert mariadb.AccountProvider().check({}, dict(ACCOUNT)).failures == []
