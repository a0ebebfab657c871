"""The one error tree. Each error says what was wrong, where, and what to do.

Callers match on types and on `code`, never on message text. The command line maps `exit_code`;
the operator and the API map the same classes to their own vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenantry.tenancy.judgement import Violation

__all__ = [
    "Conflict",
    "DependencyUnavailable",
    "InvalidInput",
    "Locked",
    "PolicyViolated",
    "Problem",
    "RunFailed",
    "StateCorrupt",
    "TenantryError",
    "Unsupported",
    "in_full",
    "raise_together",
]


_PROBLEMS_SHOWN = 5


class TenantryError(Exception):
    """Root of all errors that Tenantry raises on purpose.

    message: one sentence, what was wrong. where: file:line, resource or system, or None.
    hint: what to do next, or None.
    """

    exit_code = 1
    code = "Error"

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:  # crosses process boundaries with all its fields
        return (_rebuild, (type(self), self.args, dict(self.__dict__)))


def _rebuild(kind: type[TenantryError], args: tuple[object, ...], state: dict[str, object]) -> TenantryError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding in an input.

    path: dotted field path ("spec.modules.web.replicas"), "" for the whole document.
    line, column: 1-based, None where the input has no text position.
    """

    message: str
    path: str = ""
    line: int | None = None
    column: int | None = None
    hint: str | None = None


class InvalidInput(TenantryError):
    """Input that cannot be accepted; nothing was made. Carries every problem found, in file order."""

    exit_code = 2
    code = "InvalidInput"

    def __init__(
        self,
        message: str,
        *,
        source: str | None = None,
        problems: tuple[Problem, ...] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, where=source, hint=hint)
        self.source = source
        self.problems = problems


def in_full(error: TenantryError, *, advice: bool = False) -> str:
    """What was wrong, with the first problems of an input, in one sentence. advice: and what to do about each."""
    problems = error.problems if isinstance(error, InvalidInput) else ()
    shown = [
        (f"{one.path}: " if one.path else "") + one.message + (f" ({one.hint})" if advice and one.hint else "")
        for one in problems[:_PROBLEMS_SHOWN]
    ]
    more = len(problems) - len(shown)
    return "; ".join((error.message, *shown, *([f"and {more} more"] if more else [])))


class PolicyViolated(InvalidInput):
    """What was asked for breaks a mandatory policy; nothing was made."""

    code = "PolicyViolated"

    def __init__(self, violations: Sequence[Violation], *, where: str) -> None:
        super().__init__(
            "the resources break a policy" if len(violations) == 1 else f"the resources break {len(violations)} rules",
            source=where,
            problems=tuple(Problem(message=one.message, path=one.resource) for one in violations),
            hint="nothing was made; see all rules with `tenantry policy list`",
        )
        self.violations = tuple(violations)


class DependencyUnavailable(TenantryError):
    """A system that the work needs is down, sealed, full or refuses us. Trying again later is sensible."""

    exit_code = 3
    code = "DependencyUnavailable"


class Locked(TenantryError):
    """Another run holds the stack."""

    exit_code = 4
    code = "Locked"


class StateCorrupt(TenantryError):
    """A state file cannot be read or breaks its own rules. Nothing was changed."""

    exit_code = 5
    code = "StateCorrupt"


class Conflict(TenantryError):
    """What is asked contradicts what exists (a host taken, an object that is somebody else's)."""

    exit_code = 2
    code = "Conflict"


class Unsupported(TenantryError):
    """Sound, but this engine or platform cannot do it; the hint names what can."""

    exit_code = 2
    code = "Unsupported"


class RunFailed(TenantryError):
    """A run began and did not reach its goal; running it again continues it."""

    exit_code = 1
    code = "RunFailed"


def raise_together(failures: Sequence[Exception], message: str) -> None:
    """Raise what was found: nothing for none, the error itself for one, a group that says `message` for more. An error
    is ours, or a group of ours."""
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise ExceptionGroup(message, failures)
