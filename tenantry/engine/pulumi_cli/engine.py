"""`PulumiCli`: the engine that hands a stack to the Pulumi CLI.

Before each run it looks at the state as the embedded engine does (whole? of a version we know? does its key open?), so
that what is wrong is said in the same words by both, before the CLI starts. State is in the stack's own folder, or
where PULUMI_BACKEND_URL says.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pulumi.automation import LocalWorkspace, OutputMap
from pulumi.automation import Stack as CliStack
from pulumi.automation.errors import CommandError, StackNotFoundError

from tenantry.engine import checkpoint
from tenantry.engine.embedded import EmbeddedEngine
from tenantry.engine.findings import Verification
from tenantry.engine.fingerprint import recognises, remember
from tenantry.engine.guarding import guarded
from tenantry.engine.history import Entry, entry_of, read_history
from tenantry.engine.interface import Diagnostic, Event, OnEvent, Preview, Program, RunResult, Stack
from tenantry.engine.keeping import Keeper
from tenantry.engine.locking import clear_stale, refuse_held
from tenantry.engine.marking import Marker
from tenantry.engine.outputs import shown
from tenantry.engine.properties import Secret
from tenantry.engine.pulumi_cli import deployment
from tenantry.engine.pulumi_cli.command import find
from tenantry.engine.pulumi_cli.events import Events
from tenantry.engine.pulumi_cli.failures import of_backend, of_run
from tenantry.engine.pulumi_cli.workspace import backend_url, is_local, opened
from tenantry.engine.sealing import delete_key
from tenantry.engine.stack_key import StackKey
from tenantry.engine.storage import StackFiles, write_atomically
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, Unsupported

__all__ = ["PulumiCli"]

_PLUGINS = ("kubernetes",)
"""Resource plugins that our programs need; their version is that of the installed SDK."""


class PulumiCli:
    """Implements `Engine`. Calls may come from several threads: each run is a process of its own."""

    def __init__(self) -> None:
        self._command = find()
        self._plugins_checked = False

    @property
    def name(self) -> str:
        return f"the Pulumi CLI {self._command.version}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.stop()

    def stop(self, stack: Stack | None = None) -> None:
        """Ask all runs that are under way (of this stack) to end in order: they save and raise RunFailed."""
        self._command.stop(None if stack is None else stack.name)

    # -- runs ------------------------------------------------------------------------------------------------------

    def preview(self, stack: Stack, program: Program, *, on_event: OnEvent | None = None) -> Preview:
        self._check(stack)
        _judge(stack, program, on_event or _ignore)
        events = Events(stack.name, "preview", on_event or _ignore)
        with self._workspace(stack, program) as workspace:
            self._check_plugins(workspace)
            found = self._selected(stack, workspace, create=True)
            self._run(stack, events, lambda: found.preview(color="never", on_event=events))
        return Preview(
            changes=tuple(events.changes.values()),
            resources=events.resources,
            seconds=events.seconds,
            worst=events.worst,
        )

    def up(
        self, stack: Stack, program: Program, *, if_changed: bool = False, on_event: OnEvent | None = None
    ) -> RunResult:
        started = time.perf_counter()
        files = StackFiles(stack)
        if if_changed and is_local(stack) and recognises(files, program.fingerprint):
            seconds = time.perf_counter() - started
            return RunResult(
                changes=(), counts={}, outputs={}, seconds=seconds, timings={"recognise": seconds}, recognised=True
            )
        self._check(stack)
        _judge(stack, program, on_event or _ignore)
        events = Events(stack.name, "update", on_event or _ignore)
        with self._workspace(stack, program) as workspace:
            self._check_plugins(workspace)
            found = self._selected(stack, workspace, create=True)
            done = self._run(
                stack,
                events,
                lambda: found.up(color="never", suppress_outputs=True, show_secrets=False, on_event=events),
            )
        if is_local(stack):
            remember(files, program.fingerprint)
        return _result(events, _outputs(done.outputs))

    def refresh(self, stack: Stack, *, on_event: OnEvent | None = None) -> RunResult:
        return self._change(
            stack,
            "refresh",
            on_event,
            lambda found, events: found.refresh(color="never", show_secrets=False, on_event=events),
        )

    def drift(self, stack: Stack) -> Preview:
        """By the embedded engine, which reads the same state; only where that is in the stack's own folder."""
        self._require_local(stack)
        with EmbeddedEngine() as embedded:
            return embedded.drift(stack)

    def mend(self, stack: Stack, *, on_event: OnEvent | None = None) -> RunResult:
        self._require_local(stack)
        with EmbeddedEngine() as embedded:
            return embedded.mend(stack, on_event=on_event)

    def destroy(self, stack: Stack, *, lift_protection: bool = False, on_event: OnEvent | None = None) -> RunResult:
        self._check(stack)
        with self._workspace(stack, None) as workspace:
            found = self._selected(stack, workspace, create=False)
            if found is None:
                return _result(Events(stack.name, "destroy", _ignore), {})
            document = self._exported(stack, workspace)
            kept = deployment.protected(document)
            if kept and not lift_protection:
                raise Conflict(
                    f"{len(kept)} resources are protected, {kept[0].rpartition('::')[2]} first",
                    where=stack.name,
                    hint="deprovision the tenant instead: it has a grace period, a backup and a certificate",
                )
            lifted = deployment.without_protection(document) if lift_protection else document
            if lifted != document:
                self._run(stack, None, lambda: deployment.put(self._command, workspace, stack.name, lifted))
        return self._change(
            stack,
            "destroy",
            on_event,
            lambda found, events: found.destroy(color="never", show_secrets=False, on_event=events),
        )

    def remove(self, stack: Stack) -> None:
        if is_local(stack):
            with EmbeddedEngine() as embedded:
                embedded.remove(stack)
            return
        with self._workspace(stack, None) as workspace:
            if self._selected(stack, workspace, create=False) is not None:
                left = deployment.resources(self._exported(stack, workspace))
                if left:
                    raise Conflict(
                        f"the stack still has {len(left)} resources", where=stack.name, hint="destroy it first"
                    )
                self._run(stack, None, lambda: workspace.remove_stack(stack.name))
        delete_key(stack.secrets_provider)

    # -- what is known ---------------------------------------------------------------------------------------------

    def outputs(self, stack: Stack) -> Mapping[str, Any]:
        self._check(stack)
        with self._workspace(stack, None) as workspace:
            found = self._selected(stack, workspace, create=False)
            return _outputs(self._run(stack, None, found.outputs)) if found is not None else {}

    def export(self, stack: Stack) -> Mapping[str, Any]:
        with self._workspace(stack, None) as workspace:
            if self._selected(stack, workspace, create=False) is None:
                return {"version": 3, "deployment": {}}
            return self._exported(stack, workspace)

    def history(self, stack: Stack) -> tuple[Entry, ...]:
        if is_local(stack):
            return read_history(StackFiles(stack))
        with self._workspace(stack, None) as workspace:
            if self._selected(stack, workspace, create=False) is None:
                return ()
            entries = self._run(stack, None, lambda: deployment.history(self._command, workspace, stack.name))
            return tuple(entry_of(number, one) for number, one in enumerate(entries, 1))

    def verify(self, stack: Stack) -> Verification:
        with EmbeddedEngine() as embedded:
            if is_local(stack):
                return embedded.verify(stack)
            return embedded.verify(stack, self.export(stack).get("deployment") or {})

    def import_state(self, stack: Stack, document: Mapping[str, Any], *, source: str) -> Path | None:
        if is_local(stack):
            with EmbeddedEngine() as embedded:
                return embedded.import_state(stack, document, source=source)
        latest = Keeper(stack).accepted(document, source=source)
        with self._workspace(stack, None) as workspace:
            self._selected(stack, workspace, create=True)
            kept = StackFiles(stack).backups / f"{stack.name}.{time.time_ns()}.json"
            write_atomically(kept, json.dumps(self._exported(stack, workspace)).encode())
            wanted = {"version": 3, "deployment": latest}
            self._run(stack, None, lambda: deployment.put(self._command, workspace, stack.name, wanted))
        return kept

    def recover(self, stack: Stack, *, lock: str = "") -> RunResult:
        """In the stack's own folder as the embedded engine does it, which knows both engines' unfinished business.
        Elsewhere by a refresh that forgets creations of which nobody knows how they ended: the next `up` finds those
        objects by name."""
        if is_local(stack):
            with EmbeddedEngine() as embedded:
                return embedded.recover(stack, lock=lock)
        if lock:
            raise Unsupported(
                "a lock in this backend is only broken by the Pulumi CLI itself",
                where=backend_url(stack),
                hint=f"`pulumi cancel --stack {stack.name}` breaks every lock of the stack, then recover it without "
                "--break-lock",
            )
        return self._change(
            stack,
            "refresh",
            None,
            lambda found, events: found.refresh(
                color="never", show_secrets=False, clear_pending_creates=True, on_event=events
            ),
        )

    # -- parts -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _require_local(stack: Stack) -> None:
        if not is_local(stack):
            raise Unsupported(
                "what was changed behind the stack's back is found only where its state is in the cell's own folder",
                where=stack.name,
                hint="use `pulumi refresh`, then `pulumi up`",
            )

    def _check(self, stack: Stack) -> None:
        """Whether the state can be used at all. Raises what the embedded engine raises."""
        if not is_local(stack):
            return
        files = StackFiles(stack)
        clear_stale(files)
        last = checkpoint.read(files)
        if last is not None and files.journal.exists():
            refuse_held(files)
            raise Conflict(
                "a run of the embedded engine was cut short; the CLI cannot know what it began",
                where=stack.name,
                hint="settle it first: `tenantry state recover`",
            )
        key = StackKey(stack=stack, files=files, afresh=True)
        if key.existing(last) is None:
            key.new()

    @contextmanager
    def _workspace(self, stack: Stack, program: Program | None) -> Iterator[LocalWorkspace]:
        """The run's folder; the process that runs in it is noted, so that its lock is known as ours if it is killed."""
        marker = Marker(StackFiles(stack))
        command = self._command.for_run(marker.set)
        with opened(stack, program, command) as workspace:
            yield workspace
        marker.clear()

    def _selected(self, stack: Stack, workspace: LocalWorkspace, *, create: bool) -> Any:
        """The stack in the backend; None when it is not there and shall not be made."""
        try:
            try:
                return CliStack.select(stack.name, workspace)
            except StackNotFoundError:
                return CliStack.create(stack.name, workspace) if create else None
        except CommandError as error:
            raise of_backend(error, stack) from None

    def _exported(self, stack: Stack, workspace: LocalWorkspace) -> dict[str, Any]:
        try:
            return deployment.get(self._command, workspace, stack.name)
        except CommandError as error:
            raise of_backend(error, stack) from None

    def _change(
        self, stack: Stack, operation: str, on_event: OnEvent | None, act: Callable[[CliStack, Events], object]
    ) -> RunResult:
        self._check(stack)
        events = Events(stack.name, operation, on_event or _ignore)
        with self._workspace(stack, None) as workspace:
            self._check_plugins(workspace)
            found = self._selected(stack, workspace, create=False)
            if found is None:
                return _result(events, {})
            self._run(stack, events, lambda: act(found, events))
            return _result(events, _outputs(self._run(stack, None, found.outputs)))

    def _run(self, stack: Stack, events: Events | None, act: Callable[[], Any]) -> Any:
        try:
            done = act()
        except CommandError as error:
            raise of_run(error, stack, events.problems if events is not None else ()) from None
        if events is not None:
            events.finished()
        return done

    def _check_plugins(self, workspace: LocalWorkspace) -> None:
        """Have the providers' plugins there before a run; the CLI would fetch them in the middle of it."""
        if self._plugins_checked:
            return
        try:
            there = {(one.name, str(one.version)) for one in workspace.list_plugins()}
            for name in _PLUGINS:
                try:
                    wanted = version(f"pulumi-{name}")
                except PackageNotFoundError:
                    continue
                if (name, wanted) not in there:
                    workspace.install_plugin(name, f"v{wanted}")
        except CommandError:
            raise DependencyUnavailable(
                f"Pulumi's plugin for {name} {wanted} is not on this machine and cannot be fetched",
                where="pulumi plugin ls",
                hint=f"on a machine with a way out: pulumi plugin install resource {name} v{wanted}; then copy "
                "~/.pulumi/plugins here. The embedded engine needs no plugin",
            ) from None
        self._plugins_checked = True


def _judge(stack: Stack, program: Program, emit: OnEvent) -> None:
    """The program's policies, judged as the embedded engine does it and with its words, before the CLI starts."""
    if not program.policies:
        return
    try:
        with EmbeddedEngine() as embedded:
            desired = embedded.evaluate(stack, program)
    except Unsupported as error:
        text = f"policies were not judged, since only the CLI can evaluate this program: {error}"
        emit(Diagnostic(severity="warning", message=text))
        return
    guarded(desired, program.policies, where=stack.name, emit=emit)


def _ignore(_event: Event) -> None:
    """For callers that do not listen."""


def _outputs(found: OutputMap) -> dict[str, Any]:
    return {key: shown(Secret(one.value)) if one.secret else one.value for key, one in found.items()}


def _result(events: Events, outputs: Mapping[str, Any]) -> RunResult:
    return RunResult(
        changes=tuple(events.changes.values()),
        counts=dict(events.counts),
        outputs=dict(outputs),
        seconds=events.seconds,
        timings={"run": events.seconds},
    )
