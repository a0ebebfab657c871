"""Adoption killed after each of its steps: the next run ends in the same place."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tenantry.openbao import openbao
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import DependencyUnavailable
from tenantry_components.providers import database_connection
from tenantry_components.providers.adoption import (
    AdoptedRabbitMqInputs,
    AdoptedRabbitMqProvider,
    AdoptedRedisInputs,
    AdoptedRedisProvider,
)
from tenantry_components.providers.credential import Login, authority
from tenantry_components.providers.mariadb_server import connect

PARTS = ("rabbitmq", "redis")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An adopted part, and ways to bring it back into each earlier state. first: the bootstrap password."""

    provider: Any
    props: dict[str, Any]
    inputs: Any
    first: str
    next: str
    bootstrap: Path

    @property
    def path(self) -> str:
        return f"cell/{self.inputs.part}"

    def login(self, password: str) -> Login:
        return Login(username="tenantry", password=password, authority=authority("kv"))

    def current(self) -> str:
        found = openbao().kv_read("kv", self.path)
        assert found is not None
        return str(found[0]["password"])

    def server_takes(self, password: str) -> None:
        self.inputs.change(self.login(self.current()), password)
        self.inputs.settle(self.login(password))

    def kv_holds(self, **fields: str) -> None:
        openbao().kv_destroy("kv", self.path)
        if fields:
            openbao().kv_write("kv", self.path, {"username": "tenantry", **fields}, version=0)

    def leave_bootstrap(self) -> None:
        self.bootstrap.write_text(
            json.dumps(
                {
                    "host": "127.0.0.1",
                    "port": 1,
                    "username": "tenantry",
                    "password": self.first,
                    "caFile": str(self.bootstrap.with_name("ca.pem")),
                }
            )
        )
        self.bootstrap.with_name("ca.pem").write_text(authority("kv") or "")


@pytest.fixture(params=PARTS)
def part(
    request: pytest.FixtureRequest, cell: Cell, cell_run: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Part:
    monkeypatch.setenv("TENANTRY_BOOTSTRAP", str(tmp_path))
    if request.param == "rabbitmq":
        provider: Any = AdoptedRabbitMqProvider()
        props = {"kv_mount": "kv", "management_url": cell.spec.messaging.management_url}
        inputs: Any = AdoptedRabbitMqInputs.model_validate(props)
    else:
        provider = AdoptedRedisProvider()
        props = {"kv_mount": "kv", "host": cell.spec.cache.host, "port": cell.spec.cache.port}
        inputs = AdoptedRedisInputs.model_validate(props)
    return Part(
        provider=provider,
        props=props,
        inputs=inputs,
        first=secrets.token_hex(16),
        next=secrets.token_hex(16),
        bootstrap=tmp_path / f"{request.param}.json",
    )


def untouched(part: Part) -> None:
    part.server_takes(part.first)
    part.leave_bootstrap()
    part.kv_holds()


def killed_after_the_pending_password_was_stored(part: Part) -> None:
    part.server_takes(part.first)
    part.leave_bootstrap()
    part.kv_holds(pending=part.next)


def killed_after_the_server_took_it(part: Part) -> None:
    part.server_takes(part.next)
    part.leave_bootstrap()
    part.kv_holds(pending=part.next)


def killed_before_the_bootstrap_file_was_deleted(part: Part) -> None:
    part.server_takes(part.next)
    part.leave_bootstrap()
    part.kv_holds(password=part.next)


def the_server_was_made_anew(part: Part) -> None:
    part.server_takes(part.first)
    part.leave_bootstrap()
    part.kv_holds(password=part.next)


def nothing_left_to_do(part: Part) -> None:
    part.server_takes(part.next)
    part.kv_holds(password=part.next)


@pytest.mark.parametrize(
    "state",
    [
        untouched,
        killed_after_the_pending_password_was_stored,
        killed_after_the_server_took_it,
        killed_before_the_bootstrap_file_was_deleted,
        the_server_was_made_anew,
        nothing_left_to_do,
    ],
    ids=lambda state: state.__name__.replace("_", " "),
)
def test_adoption_ends_with_a_login_that_only_openbao_knows(part: Part, state: Callable[[Part], None]) -> None:
    state(part)
    part.provider.create(part.props)
    part.provider.create(part.props)
    found = openbao().kv_read("kv", part.path)
    assert found is not None
    assert set(found[0]) == {"username", "password"}
    assert found[0]["password"] != part.first
    assert part.inputs.opens(part.login(found[0]["password"]))
    assert not part.inputs.opens(part.login(part.first))
    assert not part.bootstrap.exists()
    assert part.provider.read("kv", part.props).inputs == part.props


def test_without_any_working_login_it_says_what_to_do(part: Part) -> None:
    kept = part.current()
    part.kv_holds(password=part.first)
    with pytest.raises(DependencyUnavailable, match="no login opens") as refused:
        part.provider.create(part.props)
    part.kv_holds(password=kept)
    assert kept not in str(refused.value)


def test_a_database_bootstrap_login_is_rotated_and_one_already_rotated_is_dropped(
    cell: Cell, cell_run: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_BOOTSTRAP", str(tmp_path))
    database = cell.spec.database
    props = {
        "mount": "database",
        "connection": database.connection,
        "host": database.host,
        "port": database.port,
        "authority": cell.spec.ca_bundle,
        "provisioner": list(database_connection._PROVISIONER_STATEMENTS),
    }
    wanted = database_connection.DatabaseConnectionInputs.model_validate(props)
    first = secrets.token_hex(16)
    statement = f"ALTER USER 'tenantry'@'%' IDENTIFIED BY '{first}'"
    database_connection._run_as_administrator(wanted, (statement,))
    (tmp_path / "ca.pem").write_text(cell.spec.ca_bundle)
    bootstrap = {
        "host": database.host,
        "port": database.port,
        "username": "tenantry",
        "password": first,
        "caFile": str(tmp_path / "ca.pem"),
    }
    provider = database_connection.DatabaseConnectionProvider()
    # The second time the server refuses the login: the state of a run killed before it deleted the file.
    for _ in range(2):
        (tmp_path / "mariadb.json").write_text(json.dumps(bootstrap))
        provider.create(props)
        assert not (tmp_path / "mariadb.json").exists()
        with pytest.raises(pymysql.OperationalError):
            connect(
                host=database.host,
                port=database.port,
                login=Login(username="tenantry", password=first, authority=cell.spec.ca_bundle),
            )
    provider.create(props)
    assert provider.read("", props).inputs == props
