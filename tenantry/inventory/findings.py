"""What the inventory looks for, and what it found."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Finding", "Inventory", "Kept", "Searched", "Subject"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(_Model):
    """Whose traces are looked for. incarnation: 8 characters that stand in every name of this life of the tenant.
    hosts: its public host names, the one thing that does not carry the incarnation."""

    name: str
    incarnation: str = Field(pattern=r"^[a-z0-9]{8}$")
    hosts: tuple[str, ...] = ()

    def marks(self, *texts: object) -> bool:
        return any(self.incarnation in str(text) for text in texts)


class Finding(_Model):
    """One trace. system: where; kind: what it is there (`transit key`); name: how that system calls it."""

    system: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.system}: {self.kind} {self.name}"

    @property
    def lingers(self) -> bool:
        """Whether its system removes it by itself: Kubernetes' note of a Service's address can outlive the Service
        until Kubernetes' own repair comes by some minutes later."""
        return (self.system, self.kind) == ("kubernetes", "ipaddresses")


class Kept(_Model):
    """What outlives the tenant on purpose. what: its name; one that ends with a slash stands for all below it.
    until: the day it has aged out; None: it stays (a tombstone)."""

    system: str
    what: str
    until: date | None

    def covers(self, finding: Finding) -> bool:
        below = self.what.endswith("/") and finding.name.startswith(self.what)
        return finding.system == self.system and (below or finding.name == self.what)


class Searched(_Model):
    """One system's answer: how many things were looked at, and which are traces. closed: kinds of things there that
    whoever searches may not read."""

    system: str
    looked_at: int
    findings: tuple[Finding, ...]
    closed: tuple[str, ...] = ()


class Inventory(_Model):
    """The result over all systems. left: traces that nobody meant to keep; the tenant is gone when it is empty.
    not_looked_at: what was closed to the search, told in the certificate."""

    result: Literal["nothing-left", "left-over"]
    looked_at: dict[str, int]
    not_looked_at: tuple[str, ...] = ()
    left: tuple[Finding, ...]
    kept: tuple[Finding, ...]

    @classmethod
    def of(cls, searched: Iterable[Searched], kept: Iterable[Kept]) -> Inventory:
        """Sort every finding into what is kept on purpose and what is left over."""
        found = sorted(searched, key=lambda one: one.system)
        meant = tuple(kept)
        findings = [finding for one in found for finding in one.findings]
        left = tuple(finding for finding in findings if not any(one.covers(finding) for one in meant))
        return cls(
            result="left-over" if left else "nothing-left",
            looked_at={one.system: one.looked_at for one in found},
            not_looked_at=tuple(f"{one.system}: {kind}" for one in found for kind in one.closed),
            left=left,
            kept=tuple(finding for finding in findings if finding not in left),
        )
