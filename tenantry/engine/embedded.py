"""The embedded engine: runs Tenantry's own programs without the Pulumi CLI.

Callers in several threads run several stacks at once: `EmbeddedEngine()` in the calling process,
`EmbeddedEngine(workers=2)` in warm worker processes, so that more than one program can be evaluated at a time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tenantry.engine.desired import Desired
from tenantry.engine.findings import Verification
from tenantry.engine.fingerprint import recognises
from tenantry.engine.history import Entry, read_history
from tenantry.engine.in_process import InProcess
from tenantry.engine.interface import OnEvent, Preview, Program, RunResult, Stack
from tenantry.engine.request import Request
from tenantry.engine.storage import StackFiles
from tenantry.engine.workers import Workers

__all__ = ["EmbeddedEngine"]


class EmbeddedEngine:
    """Implements `Engine`. workers: processes to keep at most, 0 for none; each serves several runs. preload: modules
    of the programs to come. The first worker then starts at once and imports them, so that a stack's first run is as
    fast as its second."""

    def __init__(self, workers: int = 0, *, preload: tuple[str, ...] = ()) -> None:
        self._workers = Workers(workers, preload) if workers else InProcess()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        return "the embedded engine"

    def close(self) -> None:
        """Stop the workers: what runs is stopped in order and saved."""
        self._workers.close()

    def stop(self, stack: Stack | None = None) -> None:
        """Ask all runs that are under way, in whatever thread, to end in order after their wave: they save and raise
        RunFailed. What runs later is not touched. stack: only this one's."""
        self._workers.stop(stack)

    def evaluate(self, stack: Stack, program: Program) -> Desired:
        """What the program asks for, without planning or changing anything. Only this engine can tell."""
        desired: Desired = self._run(Request(operation="evaluate", stack=stack, program=program), None)
        return desired

    def preview(self, stack: Stack, program: Program, *, on_event: OnEvent | None = None) -> Preview:
        preview: Preview = self._run(Request(operation="preview", stack=stack, program=program), on_event)
        return preview

    def up(
        self, stack: Stack, program: Program, *, if_changed: bool = False, on_event: OnEvent | None = None
    ) -> RunResult:
        started = time.perf_counter()
        if if_changed and recognises(StackFiles(stack), program.fingerprint):
            seconds = time.perf_counter() - started
            return RunResult(
                changes=(), counts={}, outputs={}, seconds=seconds, timings={"recognise": seconds}, recognised=True
            )
        return self._result(Request(operation="up", stack=stack, program=program), on_event)

    def refresh(self, stack: Stack, *, on_event: OnEvent | None = None) -> RunResult:
        return self._result(Request(operation="refresh", stack=stack), on_event)

    def drift(self, stack: Stack) -> Preview:
        preview: Preview = self._run(Request(operation="drift", stack=stack), None)
        return preview

    def mend(self, stack: Stack, *, on_event: OnEvent | None = None) -> RunResult:
        return self._result(Request(operation="mend", stack=stack), on_event)

    def destroy(self, stack: Stack, *, lift_protection: bool = False, on_event: OnEvent | None = None) -> RunResult:
        request = Request(operation="destroy", stack=stack, lift_protection=lift_protection)
        return self._result(request, on_event)

    def remove(self, stack: Stack) -> None:
        self._run(Request(operation="remove", stack=stack), None)

    def outputs(self, stack: Stack) -> Mapping[str, Any]:
        outputs: Mapping[str, Any] = self._run(Request(operation="outputs", stack=stack), None)
        return outputs

    def export(self, stack: Stack) -> Mapping[str, Any]:
        deployment: Mapping[str, Any] = self._run(Request(operation="export", stack=stack), None)
        return deployment

    def recover(self, stack: Stack, *, lock: str = "") -> RunResult:
        return self._result(Request(operation="recover", stack=stack, lock=lock), None)

    def import_state(self, stack: Stack, document: Mapping[str, Any], *, source: str) -> Path | None:
        kept: Path | None = self._run(
            Request(operation="import_state", stack=stack, document=document, source=source), None
        )
        return kept

    def history(self, stack: Stack) -> tuple[Entry, ...]:
        return read_history(StackFiles(stack))

    def verify(self, stack: Stack, latest: Mapping[str, Any] | None = None) -> Verification:
        """latest: a deployment from another backend than the stack's folder."""
        verification: Verification = self._run(Request(operation="verify", stack=stack, document=latest), None)
        return verification

    def _result(self, request: Request, on_event: OnEvent | None) -> RunResult:
        result: RunResult = self._run(request, on_event)
        return result

    def _run(self, request: Request, on_event: OnEvent | None) -> Any:
        return self._workers.run(request, on_event)
