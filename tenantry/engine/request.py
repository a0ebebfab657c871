"""One call of an engine as it is handed to whoever runs it, and its execution."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.engine.interface import Event, Program, Stack

__all__ = ["Request", "execute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """operation: the interface's method. lock: one to be broken by `recover`. document, source: the state that
    `import_state` brings, and where from."""

    operation: str
    stack: Stack
    program: Program | None = None
    lift_protection: bool = False
    lock: str = ""
    document: Mapping[str, Any] | None = None
    source: str = ""


def execute(request: Request, emit: Callable[[Event], None], stop: threading.Event) -> Any:
    """Run it in the calling thread. Other threads may run other stacks at the same time."""
    # Imported here, so that a process which only has workers never loads the SDK.
    from tenantry.engine.keeping import Keeper
    from tenantry.engine.run import Run

    if request.operation == "verify":
        return Keeper(request.stack).verify(request.document)
    if request.document is not None:
        return Keeper(request.stack).replace(request.document, source=request.source)
    run = Run(request.stack, emit=emit, stop=stop)
    if request.program is not None:
        return {"evaluate": run.evaluate, "preview": run.preview, "up": run.up}[request.operation](request.program)
    if request.operation == "destroy":
        return run.destroy(lift_protection=request.lift_protection)
    if request.operation == "recover":
        return run.recover(lock=request.lock)
    simple: dict[str, Callable[[], Any]] = {
        "drift": run.drift,
        "export": run.export,
        "mend": run.mend,
        "outputs": run.outputs,
        "refresh": run.refresh,
        "remove": run.remove,
    }
    return simple[request.operation]()
