"""Programs of Debian's that tests need and a local platform does not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tenantry.local.packages import installed
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["program"]


def program(name: str, package: str) -> Path:
    """Its path; installed first where it is missing and we may. Where we may not, the test is left out."""

    def look() -> tuple[dict[str, Path], list[str]]:
        path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
        return ({name: Path(path)}, []) if path else ({}, [name])

    try:
        return installed(look, (package,), print)[name]
    except DependencyUnavailable as error:
        pytest.skip(f"{error.message}; {error.hint}")
