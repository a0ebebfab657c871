"""What an engine is: the one small interface behind which Embedded (and the Pulumi CLI) run a stack.

An engine is handed the program; it knows none. Events stream to a callback while a run goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from tenantry.engine.findings import Verification
    from tenantry.engine.history import Entry

__all__ = [
    "Change",
    "Diagnostic",
    "Effect",
    "Engine",
    "Event",
    "Op",
    "PhaseFinished",
    "Preview",
    "Program",
    "ResourceFinished",
    "ResourceStarted",
    "RunFinished",
    "RunResult",
    "RunStarted",
    "Stack",
]


class Op(StrEnum):
    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    READ = "read"


class Effect(StrEnum):
    """What a change does to a running tenant, mildest first."""

    NONE = "none"
    IN_PLACE = "in place"
    RESTART = "restart"
    DOWNTIME = "downtime"
    DATA_LOSS = "data loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One resource's difference. paths: dotted property paths that differ, secrets never shown."""

    urn: str
    type: str
    name: str
    op: Op
    effect: Effect = Effect.NONE
    paths: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    severity: str
    message: str
    urn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    stack: str
    operation: str
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceStarted:
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFinished:
    change: Change
    seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    stack: str
    seconds: float
    counts: Mapping[Op, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFinished:
    """One phase of a run (evaluate, plan, converge, save, …). began: seconds since the epoch."""

    stack: str
    name: str
    began: float
    seconds: float


Event = RunStarted | ResourceStarted | ResourceFinished | RunFinished | PhaseFinished | Diagnostic
OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A Pulumi program by reference, so that a worker process can import it: `module:function`.

    arguments: keyword arguments, picklable (a TenantSpec, a CellSpec).
    fingerprint: digest of the arguments and of the code that reads them; equal fingerprint, equal resources.
    policies: by reference too, what judges the resources before anything is planned; see guarding.py. "": nothing.
    """

    entry: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    policies: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Where one stack's state is. backend: the folder that holds `.pulumi/`.

    secrets_provider: `hashivault://KEY` (OpenBao transit), reached by VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT; or
    `passphrase`, from PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE.
    config: the stack's plain config, fully qualified keys; part of what the dynamic provider stores.
    """

    project: str
    name: str
    backend: Path
    secrets_provider: str
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    changes: tuple[Change, ...]
    resources: int
    seconds: float
    worst: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """changes: everything but `same`. recognised: the fingerprint matched, nothing was evaluated."""

    changes: tuple[Change, ...]
    counts: Mapping[Op, int]
    outputs: Mapping[str, Any]
    seconds: float
    timings: Mapping[str, float]
    recognised: bool = False

    @property
    def resources(self) -> int:
        """How many the stack has after it."""
        return sum(count for op, count in self.counts.items() if op is not Op.DELETE)

    def then(self, later: RunResult) -> RunResult:
        """Two runs of one stack in a row as one: each resource that any of them changed counts once, as it ended."""
        changes = {one.urn: one for one in self.changes}
        for one in later.changes:
            before = changes.get(one.urn)
            new = before is not None and before.op in (Op.CREATE, Op.REPLACE) and one.op is Op.UPDATE
            changes[one.urn] = replace(one, op=before.op) if before is not None and new else one
        counts = Counter(one.op for one in changes.values())
        counts[Op.SAME] = later.resources - sum(count for op, count in counts.items() if op is not Op.DELETE)
        return replace(later, changes=tuple(changes.values()), counts=counts, seconds=self.seconds + later.seconds)


class Engine(Protocol):
    """All calls block until done, raise the errors of tenancy.errors, and may be called again after any failure."""

    @property
    def name(self) -> str:
        """As a sentence names it: "the embedded engine"."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def preview(self, stack: Stack, program: Program, *, on_event: OnEvent | None = None) -> Preview: ...

    def up(
        self, stack: Stack, program: Program, *, if_changed: bool = False, on_event: OnEvent | None = None
    ) -> RunResult:
        """if_changed: return at once when the last finished run had the same fingerprint and state is untouched."""
        ...

    def refresh(self, stack: Stack, *, on_event: OnEvent | None = None) -> RunResult: ...

    def drift(self, stack: Stack) -> Preview:
        """What lives otherwise than the last finished run recorded it: gone (create), changed (update), left over
        (delete), made by others (read). Runs no program and changes nothing; of an object only the fields that the
        stack sends count. Effect data loss: what is gone held data or keys."""
        ...

    def mend(self, stack: Stack, *, on_event: OnEvent | None = None) -> RunResult:
        """Put what `drift` finds back as it was recorded, without running the program. Left as they are: what others
        made, and what is lost with its data (an empty one in its place would look sound)."""
        ...

    def destroy(self, stack: Stack, *, lift_protection: bool = False, on_event: OnEvent | None = None) -> RunResult:
        """lift_protection: also what is protected or retained; for a caller that may (test environments)."""
        ...

    def remove(self, stack: Stack) -> None:
        """Delete what a destroyed stack leaves: its state, history and backups, then the key that sealed them.

        Raises Conflict while the stack has resources. A stack that is not there is no error.
        """
        ...

    def outputs(self, stack: Stack) -> Mapping[str, Any]: ...

    def export(self, stack: Stack) -> Mapping[str, Any]:
        """The deployment as `pulumi stack export` gives it, secrets still encrypted."""
        ...

    def import_state(self, stack: Stack, document: Mapping[str, Any], *, source: str) -> Path | None:
        """Make an exported deployment the stack's state, and give the copy that is kept of the one before. Refuses a
        damaged one, another stack's, or one sealed by another key. source: where it comes from, for errors."""
        ...

    def history(self, stack: Stack) -> tuple[Entry, ...]:
        """What the stack's runs did, the oldest first."""
        ...

    def verify(self, stack: Stack) -> Verification:
        """What is wrong with the state: inside of it, and against what lives. Changes nothing."""
        ...

    def recover(self, stack: Stack, *, lock: str = "") -> RunResult:
        """Settle what a killed run left (journal, pending operations, our own dead lock). lock: of somebody else's
        dead run, which is broken on this explicit word alone."""
        ...

    def stop(self, stack: Stack | None = None) -> None:
        """Ask all runs that are under way, in whatever thread, to end in order: they save and raise RunFailed. What
        runs later is not touched. stack: only this one's runs."""
        ...

    def close(self) -> None:
        """Stop what runs, wait until it is saved, and give back what the engine keeps. Takes a bounded time. A
        context manager does it at its end."""
        ...
