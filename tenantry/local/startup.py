"""Brings the parts up: several chains at once, within a chain one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

from tenantry.local.layout import Layout, read_json, write_json
from tenantry.local.part import Part, State
from tenantry.local.ports import require_free
from tenantry.local.supervisor import Supervised, Supervisor
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["Startup"]

_TAIL_LINES = 5


class Startup:
    """One `up`. Each part is prepared, started unless it runs with the same files, awaited and made ready."""

    def __init__(self, layout: Layout, supervisor: Supervisor, on_progress: Callable[[str], None]) -> None:
        self._layout = layout
        self._supervisor = supervisor
        self._say = on_progress
        self._stopping = Event()

    def run(self, chains: Sequence[Sequence[Part]]) -> None:
        """Bring all chains up. The first failure ends the others at their next step; what runs is left running."""
        with ThreadPoolExecutor(max_workers=len(chains)) as pool:
            futures = [pool.submit(self._climb, chain) for chain in chains]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._stopping.set()
        failures = [error for future in futures if (error := future.exception()) is not None]
        # A chain that was only told to stop says so by _Ended; the cause is the other one.
        for error in failures:
            if not isinstance(error, _Ended):
                raise error

    def _climb(self, chain: Sequence[Part]) -> None:
        for part in chain:
            if self._stopping.is_set():
                raise _Ended
            self._bring_up(part)

    def _bring_up(self, part: Part) -> None:
        started = time.monotonic()
        found = self._supervisor.states().get(part.name)
        running = found is not None and found.running
        if running and not part.initialized:
            # A first start was cut short: its data is made anew, and not under a running server.
            self._supervisor.stop(part.name)
            running = False
        part.prepare()
        if running and self._started_with(part) != part.fingerprint():
            self._say(f"{part.name}: its configuration has changed, restarting")
            self._supervisor.stop(part.name)
            running = False
        if running and part.probe().state is State.SEALED:
            self._say(f"{part.name}: sealed, restarting")
            self._supervisor.stop(part.name)
            running = False
        if not running:
            for port in part.ports:
                require_free(port, part=part.name)
            self._supervisor.start(part.name)
        self._await(part)
        part.ready()
        self._await(part, fully=True)
        if not running:
            self._remember(part)
            self._say(f"{part.name}: running on {part.address} ({time.monotonic() - started:.1f} s)")

    def _await(self, part: Part, *, fully: bool = False) -> None:
        deadline = time.monotonic() + part.start_seconds
        while not (part.probe().state is State.RUNNING if fully else part.answers()):
            state = self._supervisor.states().get(part.name)
            if state is None or state.given_up:
                raise self._crashed(part, state)
            if time.monotonic() > deadline:
                health = part.probe()
                raise DependencyUnavailable(
                    f"{part.name} is not healthy after {part.start_seconds:.0f} s: {health.message}",
                    where=str(part.log),
                    hint=health.hint or "read its log, then run `tenantry local up` again",
                )
            if self._stopping.wait(0.1):
                raise _Ended

    def _crashed(self, part: Part, state: Supervised | None) -> DependencyUnavailable:
        reason = state.message if state is not None and state.message else "it ended again and again"
        tail = tail_of(part.log, self._layout)
        return DependencyUnavailable(
            f"{part.name} does not start: {reason}" + (f"; its log ends with: {tail}" if tail else ""),
            where=str(part.log),
            hint="put right what the log says, then run `tenantry local up` again",
        )

    def _marker(self, part: Part) -> Path:
        return self._layout.supervisor / f"{part.name}.json"

    def _started_with(self, part: Part) -> str | None:
        value = read_json(self._marker(part)).get("fingerprint")
        return None if value is None else str(value)

    def _remember(self, part: Part) -> None:
        write_json(self._marker(part), {"fingerprint": part.fingerprint()})


class _Ended(Exception):
    """This chain was told to end."""


def tail_of(log: Path, layout: Layout) -> str:
    """The last lines of a log, joined, with every password and token that the platform knows taken out."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    for secret in _known_secrets(layout):
        text = text.replace(secret, "[hidden]")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-_TAIL_LINES:])


def _known_secrets(layout: Layout) -> set[str]:
    found: set[str] = set()
    for folder in (layout.accounts, layout.bootstrap, layout.part("openbao")):
        for file in folder.glob("*.json"):
            content = read_json(file)
            found |= {str(content[key]) for key in ("password", "token") if content.get(key)}
    return found
