"""Runs a stack. `EmbeddedEngine` does it in-process, `pulumi_cli.PulumiCli` by the Pulumi CLI; see choosing.py.

This package is handed programs and knows none.
"""

from tenantry.engine.embedded import EmbeddedEngine
from tenantry.engine.interface import (
    Change,
    Diagnostic,
    Effect,
    Engine,
    Event,
    Op,
    Preview,
    Program,
    ResourceFinished,
    ResourceStarted,
    RunFinished,
    RunResult,
    RunStarted,
    Stack,
)

__all__ = [
    "Change",
    "Diagnostic",
    "Effect",
    "EmbeddedEngine",
    "Engine",
    "Event",
    "Op",
    "Preview",
    "Program",
    "ResourceFinished",
    "ResourceStarted",
    "RunFinished",
    "RunResult",
    "RunStarted",
    "Stack",
]
