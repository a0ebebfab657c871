"""A user on a fresh machine: `make up` once a session, in a data folder of its own, then the commands they type."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.user import User


@pytest.fixture(scope="session")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> User:
    """A user who has started nothing yet."""
    return User(home=tmp_path_factory.mktemp("visitor"))


@pytest.fixture(scope="session")
def first_up() -> dict[str, str]:
    """What the first `make up` printed; filled by `user`."""
    return {}


@pytest.fixture(scope="session")
def user(tmp_path_factory: pytest.TempPathFactory, first_up: dict[str, str]) -> Iterator[User]:
    """A user who typed `make up`."""
    someone = User(home=tmp_path_factory.mktemp("home"))
    someone.home.chmod(0o755)
    try:
        done = someone.types("make", "up")
        first_up["stdout"], first_up["stderr"] = done.stdout, done.stderr
        yield someone
    finally:
        someone.types("tenantry", "local", "down", "--remove", "--yes", code=None)
