"""The Pulumi CLI on the real platform; skipped where it is not on PATH."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping

import pytest

from tenantry.engine import EmbeddedEngine
from tenantry.fleet import Fleet
from tenantry.local import LocalPlatform
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_cell


@pytest.fixture(autouse=True)
def _cli_is_here(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("pulumi_cli") and shutil.which("pulumi") is None:
        pytest.skip("the Pulumi CLI is not on PATH (tenantry engine install)")


@pytest.fixture(scope="session")
def environment(platform: LocalPlatform) -> Mapping[str, str]:
    return platform.environment()


@pytest.fixture(scope="session")
def fleet(
    environment: Mapping[str, str], platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """A fleet whose cell is set up, with records and state of its own."""
    with pytest.MonkeyPatch.context() as patch, EmbeddedEngine() as engine:
        for key, value in environment.items():
            patch.setenv(key, value)
        patch.delenv("PULUMI_BACKEND_URL", raising=False)
        root = tmp_path_factory.mktemp("takeover")
        fleet = Fleet(cell=load_cell(platform.cell_file), engine=engine, catalogue=Catalogue.load(), root=root)
        fleet.prepare_cell()
        yield fleet
