"""Evaluating: run a Pulumi program in this process and learn what it wants. Makes nothing.

The SDK's settings are context variables of a process, so one process evaluates one program at a time (`_LOCK`), in a
context and a thread of its own: the caller may already run an event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pulumi.runtime import settings
from pulumi.runtime.config import set_all_config
from pulumi.runtime.stack import run_in_stack

from tenantry.engine import urn
from tenantry.engine.desired import Desired
from tenantry.engine.interface import Diagnostic, Program, Stack
from tenantry.engine.monitor import EngineLog, Monitor
from tenantry.tenancy.errors import InvalidInput, RunFailed, TenantryError

__all__ = ["evaluate", "load"]

_LOCK = threading.Lock()


class _Inline(ThreadPoolExecutor):
    """Runs a call where it was submitted. The monitor never blocks, so threads would only cost switches."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (the future is how an executor reports an error)
            future.set_exception(error)
        return future


def evaluate(
    stack: Stack,
    program: Program,
    *,
    known_ids: Mapping[str, str],
    emit: Callable[[Diagnostic], None],
) -> Desired:
    """The program's registrations. known_ids: ids of providers that state already holds, by URN.

    Raises Unsupported naming what this engine cannot do, InvalidInput for a program that cannot be imported,
    RunFailed for one that raises; errors of Tenantry's own tree pass through.
    """
    entry = load(program.entry)
    monitor = Monitor(stack=stack.name, project=stack.project, config=stack.config, known_ids=known_ids)
    failure: list[BaseException] = []

    def in_thread() -> None:
        try:
            contextvars.copy_context().run(_run, stack, program, entry, monitor, emit)
        except BaseException as error:  # noqa: BLE001 (handed to the calling thread below)
            failure.append(error)

    with _LOCK:
        thread = threading.Thread(target=in_thread, name="evaluate", daemon=True)
        thread.start()
        thread.join()
    if monitor.refusal is not None:
        raise monitor.refusal
    if failure:
        error = failure[0]
        if isinstance(error, TenantryError) or not isinstance(error, Exception):
            raise error
        raise RunFailed(
            f"the program failed: {type(error).__name__}: {error}", where=program.entry, hint="nothing was changed"
        ) from error
    root = urn.make(
        stack=stack.name,
        project=stack.project,
        parent=None,
        type_=urn.ROOT_TYPE,
        name=f"{stack.project}-{stack.name}",
    )
    return Desired(resources=tuple(monitor.resources.values()), outputs=monitor.outputs, root=root)


def load(reference: str) -> Callable[..., Any]:
    """The function behind `module:function`. Raises InvalidInput."""
    module_name, _, function = reference.partition(":")
    try:
        entry = getattr(importlib.import_module(module_name), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(
            f"the program cannot be loaded: {error}", source=reference, hint="give it as module:function"
        ) from error
    if not callable(entry):
        raise InvalidInput("the program is not a function", source=reference, hint="give it as module:function")
    loaded: Callable[..., Any] = entry
    return loaded


def _run(
    stack: Stack, program: Program, entry: Callable[..., Any], monitor: Monitor, emit: Callable[[Diagnostic], None]
) -> None:
    settings.ROOT.set(None)
    settings.configure(
        settings.Settings(
            project=stack.project,
            stack=stack.name,
            monitor=monitor,
            engine=EngineLog(emit),
            dry_run=False,
            parallel=1,
            organization="organization",
            root_directory=str(stack.backend),
        )
    )
    set_all_config(dict(stack.config), [])
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_Inline(max_workers=1))
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(run_in_stack(lambda: entry(**program.arguments)))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
