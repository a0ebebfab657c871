"""The prepared cell, and this process as its administrator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tenantry.fleet import Fleet
from tenantry.local import LocalPlatform


@pytest.fixture(scope="package")
def fleet(prepared: Fleet, platform: LocalPlatform) -> Iterator[Fleet]:
    with pytest.MonkeyPatch.context() as patch:
        for key, value in platform.environment().items():
            patch.setenv(key, value)
        patch.delenv("PULUMI_BACKEND_URL", raising=False)
        yield prepared
