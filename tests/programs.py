"""Programs that tests need and a local platform does not: packages of Debian's, and builds of Go modules."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

import pytest

from tenantry.local.packages import installed
from tenantry.local.toolchain import Tool, Toolchain
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["HELM", "VERSITYGW", "built", "program"]

HELM = Tool(
    name="helm",
    version="4.3.1",
    fits=("4.2", "4.3"),
    version_args=("version",),
    module=("helm", "helm.sh/helm/v4/cmd/helm"),
)
VERSITYGW = Tool(
    name="versitygw",
    version="1.8.0",
    fits=("1.8",),
    module=("versitygw", "github.com/versity/versitygw/cmd/versitygw"),
    ldflags=("-X main.Version=1.8.0",),
)
"""An S3-compatible store in front of a folder."""


@cache
def built(tool: Tool) -> Path:
    """Its path; built from its Go module where it is missing and kept by version in the cache of the platform's tools.
    Without Go, the test is left out."""
    try:
        return Toolchain(sources=Path(__file__).with_name("tools")).find([tool], print)[tool.name]
    except DependencyUnavailable as error:
        pytest.skip(f"{error.message}; {error.hint}")


def program(name: str, package: str) -> Path:
    """Its path; the package is installed where it is missing and we may. Where we may not, the test is left out."""

    def look() -> tuple[dict[str, Path], list[str]]:
        path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
        return ({name: Path(path)}, []) if path else ({}, [name])

    try:
        return installed(look, (package,), print)[name]
    except DependencyUnavailable as error:
        pytest.skip(f"{error.message}; {error.hint}")
