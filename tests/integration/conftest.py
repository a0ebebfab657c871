"""A real platform of the tests' own: control plane, OpenBao, MariaDB, Redis and RabbitMQ on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tenantry.local import LocalPlatform


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
