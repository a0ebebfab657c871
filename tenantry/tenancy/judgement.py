"""What policies say of a stack's resources. A policy pack judges; an engine, the command line and a test read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Judgement", "Level", "Violation"]


class Level(StrEnum):
    """mandatory: refuses the run. advisory: is said, and the run goes on. remediating: what is left out is filled in
    safely; what contradicts the rule is refused like `mandatory`."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"
    REMEDIATING = "remediating"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One rule that one resource breaks.

    rule: its name. resource: kind and name for people, "" for the whole stack. urn: None for the whole stack.
    message: what is wrong, what to change, and where to read why; the same by whatever way the rule ran.
    """

    rule: str
    level: Level
    message: str
    resource: str = ""
    urn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """refused: what must be mended first. advised: what should be. remedied: what was filled in.
    inputs: the new inputs of remedied resources, by URN."""

    refused: tuple[Violation, ...] = ()
    advised: tuple[Violation, ...] = ()
    remedied: tuple[Violation, ...] = ()
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
