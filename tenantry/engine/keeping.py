"""Keeping a stack's state: verify it, and replace it by another. Called by whoever runs requests (request.py)."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tenantry.engine import checkpoint
from tenantry.engine.checkpoint import Checkpoint
from tenantry.engine.dynamic_resources import DynamicResources
from tenantry.engine.findings import Finding, Verification, Wrong
from tenantry.engine.history import write_history
from tenantry.engine.interface import Stack
from tenantry.engine.journal import Journal
from tenantry.engine.locking import hold, holders
from tenantry.engine.sealing import Sealer
from tenantry.engine.stack_key import StackKey, provider_of
from tenantry.engine.storage import StackFiles, make_folder, storage_error, sync_folder
from tenantry.engine.verifying import Verifier, inner_findings, unreadable_key
from tenantry.tenancy.errors import Conflict, InvalidInput, Problem, StateCorrupt

__all__ = ["Keeper", "stack_in"]

_THREADS = 8
_RECOVER = "settle it: `tenantry state recover`"


class Keeper:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._files = StackFiles(stack)
        self._key = StackKey(stack=stack, files=self._files)

    def verify(self, latest: Mapping[str, Any] | None = None) -> Verification:
        """Check the state in the stack's folder, or a deployment that comes from another backend.

        Raises StateCorrupt for a file that holds no state at all, DependencyUnavailable where what it has to be
        compared with cannot be reached.
        """
        own = latest is None
        found = self.recorded() if latest is None else latest
        if not found:
            return Verification(resources=0, secrets=0, compared=0, findings=tuple(self._unsettled(found, own=own)))
        sealer: Sealer | None = None
        broken: tuple[Finding, ...] = ()
        try:
            if found.get("secrets_providers"):
                sealer = self._key.existing(Checkpoint(secrets=found["secrets_providers"]))
        except (StateCorrupt, Conflict) as error:
            broken = (unreadable_key(error),)
        with ThreadPoolExecutor(_THREADS) as threads:
            verifier = Verifier(
                stack=self._stack,
                dynamic=DynamicResources(self._stack.project, self._stack.config),
                sealer=sealer,
                threads=threads,
            )
            verification = verifier.verify(found, unsettled=tuple(self._unsettled(found, own=own)))
        if not broken:
            return verification
        return Verification(
            resources=verification.resources,
            secrets=verification.secrets,
            compared=0,
            findings=(*broken, *verification.findings),
        )

    def replace(self, document: Mapping[str, Any], *, source: str) -> Path | None:
        """Make an exported deployment, or a checkpoint file's content, the stack's state. Gives the copy that is kept
        of the one before, None where there was none.

        Refuses, with nothing changed, what is damaged, of another stack, or sealed by another key; and a stack whose
        last run is not settled. source: where the document comes from, for errors.
        """
        latest = self.accepted(document, source=source)
        with hold(self._files):
            if Journal(self._files.journal).read():
                raise Conflict("a run of this stack was cut short", where=self._stack.name, hint=_RECOVER)
            kept = self._copy()
            text = checkpoint.save(self._files, self._stack, latest)
            write_history(
                self._files,
                self._stack,
                kind="import",
                started=time.time(),
                counts={},
                checkpoint=text,
                succeeded=True,
            )
        return kept

    def accepted(self, document: Mapping[str, Any], *, source: str) -> Mapping[str, Any]:
        """The deployment in a document, if it may become this stack's state."""
        try:
            latest = checkpoint.latest_of(document, where=source, hint="give what `tenantry state export` wrote")
            resources = list(latest.get("resources") or ())
            secrets = latest.get("secrets_providers")
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                "this is no state of a stack",
                source=source,
                hint="give what `tenantry state export` or `pulumi stack export` wrote, or a checkpoint file",
            ) from error
        if not resources:
            raise InvalidInput(
                "this state holds no resources",
                source=source,
                hint="look from which stack it was exported; to remove what a stack has, destroy it",
            )
        sealer = self._key.existing(Checkpoint(secrets=secrets)) if secrets else None
        findings = inner_findings(self._stack, latest, sealer)
        if any(one.wrong is Wrong.FOREIGN for one in findings):
            raise InvalidInput(
                f"this is the state of another stack than {self._stack.project}/{self._stack.name}",
                source=source,
                problems=_problems(findings),
                hint="name the stack that it was exported from",
            )
        if findings:
            raise StateCorrupt(
                f"this state is damaged: {findings[0].subject}: {findings[0].message}"
                + (f", and {len(findings) - 1} more" if len(findings) > 1 else ""),
                where=source,
                hint="nothing was changed; take another copy: `tenantry state history`",
            )
        if secrets is None:
            raise InvalidInput(
                "this state does not say what its secrets are under",
                source=source,
                hint="export it without --show-secrets",
            )
        return latest

    def _copy(self) -> Path | None:
        """Where Pulumi keeps copies before it changes a stack by hand; they stay until the stack is removed."""
        path = self._files.backups / f"{self._stack.name}.{time.time_ns()}.json"
        try:
            make_folder(path.parent)
            shutil.copy2(self._files.checkpoint, path)
            sync_folder(path.parent)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(error, path) from error
        return path

    def recorded(self) -> Mapping[str, Any]:
        """What is in the file, however damaged its resources are; {} where there is none."""
        path = self._files.checkpoint
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise storage_error(error, path) from error
        hint = "import a sound state: one of `tenantry state history`, or the file's .bak"
        try:
            return checkpoint.latest_of(json.loads(text), where=str(path), hint=hint)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateCorrupt(
                f"the state file is not a whole checkpoint ({type(error).__name__})", where=str(path), hint=hint
            ) from error

    def _unsettled(self, latest: Mapping[str, Any], *, own: bool) -> Iterator[Finding]:
        if own:
            for one in holders(self._files):
                yield Finding(
                    wrong=Wrong.HELD,
                    subject=one.lock,
                    message=f"the stack is held by {one}",
                    hint="wait for that run; a dead one's lock: `tenantry state recover`",
                )
            if begun := len(Journal(self._files.journal).read()):
                yield _unfinished(self._stack.name, f"a run was cut short with {begun} steps begun")
        for operation in latest.get("pending_operations") or ():
            urn = str((operation.get("resource") or {}).get("urn"))
            yield _unfinished(urn, f"a run of the Pulumi CLI was cut short while {operation.get('type')} it")
        for raw in latest.get("resources") or ():
            if isinstance(raw, Mapping) and (raw.get("delete") or raw.get("pendingReplacement")):
                yield _unfinished(str(raw.get("urn")), "a run of the Pulumi CLI was cut short while replacing it")


def _unfinished(subject: str, message: str) -> Finding:
    return Finding(wrong=Wrong.UNFINISHED, subject=subject, message=message, hint=_RECOVER)


def _problems(findings: list[Finding]) -> tuple[Problem, ...]:
    return tuple(Problem(message=f"{one.subject}: {one.message}") for one in findings[:10])


def stack_in(backend: Path, project: str, name: str) -> Stack:
    """A stack that somebody runs by plain `pulumi` in a folder, known by its state alone. Raises InvalidInput when it
    is not there."""
    probe = Stack(project=project, name=name, backend=backend, secrets_provider="")
    latest = Keeper(probe).recorded()
    secrets = latest.get("secrets_providers")
    if not latest:
        known = sorted(path.stem for path in StackFiles(probe).checkpoint.parent.glob("*.json"))
        raise InvalidInput(
            f"there is no state of a stack {project}/{name}",
            source=str(StackFiles(probe).checkpoint),
            hint=f"stacks there: {', '.join(known)}" if known else "name the folder that holds `.pulumi`",
        )
    return Stack(project=project, name=name, backend=backend, secrets_provider=provider_of(secrets) if secrets else "")
