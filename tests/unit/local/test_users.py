"""What a platform leaves for its user's own commands."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tenantry.local.layout import Layout, write_json
from tenantry.local.machine import LocalPlatform, _leave_for_users
from tenantry.local.part import Site


@pytest.fixture
def platform(tmp_path: Path) -> LocalPlatform:
    """One that has been up, as far as its files tell."""
    found = LocalPlatform("demo", tmp_path / "demo")
    found.home.mkdir()
    names = ("openbao", "mariadb", "redis", "rabbitmq", "rabbitmq-management", "kube-apiserver")
    ports = {name: 21_000 + index for index, name in enumerate(names)}
    write_json(found.home / "platform.json", {"ports": ports, "parts": str(found.home / "parts")})
    Layout.of("demo", found.home).make()
    _leave_for_users(found.site(), simulated=True, operated=False)
    return found


def test_variables_taken_up_twice_are_the_same(platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin")
    first = platform.environment()
    for name, value in first.items():
        monkeypatch.setenv(name, value)
    assert platform.environment() == first
    assert first["PATH"].split(os.pathsep) == [str(platform.home / "bin"), "/usr/local/bin", "/usr/bin"]


def test_the_options_of_mariadb_name_its_socket_and_hold_no_password(platform: LocalPlatform) -> None:
    options = Path(platform.environment()["MYSQL_HOME"]) / "my.cnf"
    assert stat.S_IMODE(options.stat().st_mode) == 0o600
    lines = options.read_text().splitlines()
    site: Site = platform.site()
    assert f"socket = {site.layout.part('mariadb') / 'data' / 'server.sock'}" in lines
    assert not [line for line in lines if "password" in line]
