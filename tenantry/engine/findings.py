"""Findings: what is wrong with a stack's state, each with its place and what to do. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Verification", "Wrong"]


class Wrong(StrEnum):
    """What a finding is of. The first seven damage the state: no engine may work on it."""

    MALFORMED = "malformed"
    FOREIGN = "foreign"
    DUPLICATE = "duplicate"
    DANGLING = "dangling"
    MISPLACED = "misplaced"
    UNREADABLE_SECRET = "unreadable-secret"  # noqa: S105 (a kind of finding)
    PLAIN_SECRET = "plain-secret"  # noqa: S105 (a kind of finding)
    UNFINISHED = "unfinished"
    HELD = "held"
    GONE = "gone"
    REPLACED = "replaced"
    CHANGED = "changed"
    RELABELLED = "relabelled"
    UNRECORDED = "unrecorded"

    @property
    def damages(self) -> bool:
        return self in _DAMAGING


_DAMAGING = frozenset(tuple(Wrong)[: tuple(Wrong).index(Wrong.PLAIN_SECRET) + 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """subject: URN, object or file. message: never a secret's value."""

    wrong: Wrong
    subject: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was looked at and what was found. compared: resources that were looked for outside of the state; 0 where
    damage stood in the way."""

    resources: int
    secrets: int
    compared: int
    findings: tuple[Finding, ...]

    @property
    def damaged(self) -> bool:
        return any(one.wrong.damages for one in self.findings)
