"""What an error of the CLI means, in Tenantry's own error tree.

The CLI's exit codes are a contract (`pkg/cmd/pulumi/cmd/exit_codes.go`); the SDK's exception types add what they leave
open. What the CLI itself said last is shown, never matched.
"""

from __future__ import annotations

from collections.abc import Sequence

from pulumi.automation.errors import CommandError, ConcurrentUpdateError

from tenantry.engine.interface import Diagnostic, Stack
from tenantry.engine.locking import holders
from tenantry.engine.pulumi_cli.command import Failure
from tenantry.engine.pulumi_cli.workspace import backend_url
from tenantry.engine.storage import StackFiles
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput, Locked, RunFailed, TenantryError

__all__ = ["of_backend", "of_run"]

_CONFIGURATION, _AUTHENTICATION, _CANCELLED = 2, 3, 8
_LINES = 6


def of_run(error: CommandError, stack: Stack, problems: Sequence[Diagnostic]) -> TenantryError:
    """A run's failure. problems: the errors in its event stream."""
    known = _known(error, stack)
    if known is not None:
        return known
    if problems:
        first = next((one for one in problems if one.urn and not one.urn.endswith(stack.name)), problems[0])
        return RunFailed(
            first.message,
            where=first.urn or stack.name,
            hint="what was made is saved: put that right and run the same command again",
        )
    return RunFailed(f"the Pulumi CLI failed: {_said(error)}", where=stack.name, hint="run the same command again")


def of_backend(error: CommandError, stack: Stack) -> TenantryError:
    """A failure before any run: the backend holds no stack for us."""
    return _known(error, stack) or DependencyUnavailable(
        f"the state backend cannot be used: {_said(error)}",
        where=backend_url(stack),
        hint="check PULUMI_BACKEND_URL and the credentials for it (`pulumi login`); nothing was changed",
    )


def _known(error: CommandError, stack: Stack) -> TenantryError | None:
    if isinstance(error, ConcurrentUpdateError):
        held = next(iter(holders(StackFiles(stack))), None)
        broken = f"`tenantry state recover` with --break-lock {held.lock}" if held else "`pulumi cancel`"
        return Locked(
            f"the stack is held by {held or 'another run'}",
            where=backend_url(stack),
            hint=f"wait until that run has ended; if it is dead for certain: {broken}",
        )
    code = error.__cause__.result.code if isinstance(error.__cause__, Failure) else 1
    if code == _AUTHENTICATION:
        return DependencyUnavailable(
            "the state backend refuses our login", where=backend_url(stack), hint="log in to it: `pulumi login`"
        )
    if code == _CONFIGURATION:
        return InvalidInput(f"the Pulumi CLI refuses the call: {_said(error)}", source=stack.name)
    if code == _CANCELLED:
        return RunFailed("the run was stopped", where=stack.name, hint="run the same command again to finish it")
    return None


def _said(error: CommandError) -> str:
    """The last lines of the CLI's own words."""
    result = error.__cause__.result if isinstance(error.__cause__, Failure) else None
    text = (result.stderr or result.stdout) if result is not None else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-_LINES:]).removeprefix("error: ") or "it gives no reason"
