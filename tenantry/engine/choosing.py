"""Which engine runs a stack: the embedded one, or the Pulumi CLI. Loads the Automation API only where it is wanted."""

from __future__ import annotations

from enum import StrEnum

from tenantry.engine.embedded import EmbeddedEngine
from tenantry.engine.interface import Engine

__all__ = ["EngineKind", "make_engine"]


class EngineKind(StrEnum):
    EMBEDDED = "embedded"
    CLI = "cli"


def make_engine(kind: EngineKind, *, workers: int = 0) -> Engine:
    """An engine, to be closed. workers: of the embedded engine; the CLI is a process a run.

    Raises DependencyUnavailable where the CLI is wanted and absent, Unsupported for a version that we cannot drive.
    """
    if kind is EngineKind.EMBEDDED:
        return EmbeddedEngine(workers=workers)
    from tenantry.engine.pulumi_cli import PulumiCli

    return PulumiCli()
