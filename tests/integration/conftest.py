"""A real platform of the tests' own: control plane, OpenBao, MariaDB, Redis and RabbitMQ on loopback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tenantry.engine import EmbeddedEngine
from tenantry.fleet import Fleet
from tenantry.local import LocalPlatform
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_cell


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: a cell is not set up for a test that is left out."""
    if item.get_closest_marker("pulumi_cli") and shutil.which("pulumi") is None:
        pytest.skip("the Pulumi CLI is not on PATH (tenantry engine install)")


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """A running local platform, removed with its data at the end."""
    home = tmp_path_factory.mktemp("platform")
    home.chmod(0o755)
    running = LocalPlatform("tests", home=home)
    try:
        running.up(print)
        yield running
    finally:
        running.remove()


@pytest.fixture(scope="session")
def prepared(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The platform's cell, set up once for all tests as `tenantry cell up` does it, and its fleet.

    Tests still have to say who they are: the platform's variables make a process the administrator.
    """
    root = tmp_path_factory.mktemp("home")
    with EmbeddedEngine() as engine:
        fleet = Fleet(cell=load_cell(platform.cell_file), engine=engine, catalogue=Catalogue.load(), root=root)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in platform.environment().items():
                patch.setenv(name, value)
            fleet.prepare_cell()
        yield fleet
