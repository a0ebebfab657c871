"""Stacks of the tests' own on the real platform."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tenantry.engine import EmbeddedEngine, Stack
from tenantry.local import LocalPlatform


@pytest.fixture(scope="session")
def environment(platform: LocalPlatform) -> Mapping[str, str]:
    """What a process needs to reach the platform's API server and OpenBao."""
    return platform.environment()


@pytest.fixture
def namespace() -> str:
    return f"engine-{uuid4().hex[:8]}"


@pytest.fixture
def stack(environment: Mapping[str, str], tmp_path: Path, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A new stack with a key of its own; its namespace is not there yet."""
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    return Stack(project="shop", name=namespace, backend=tmp_path, secrets_provider=f"hashivault://state-{namespace}")


@pytest.fixture
def engine() -> EmbeddedEngine:
    return EmbeddedEngine()
