"""The one queue of the operator: keys that wait to be looked at, and the threads that do it.

A key is worked on by one thread at a time. Adding a key that waits keeps the earlier time; adding one that is being
worked on makes it wait for its end and be looked at again. The key that is due longest comes first; those of low
priority, a restart's look at all that was well, come after all others and in a quarter of the slots. Keys marked sick
share fewer slots, so that many of them that hang still leave room for the healthy. Work that turns out to be long moves
to slots of its own and gives its first one back.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable

__all__ = ["Queue"]

_log = logging.getLogger(__name__)
_CRASH_DELAY_S = 30.0


class _Line:
    """Keys, each with the time at which it is due."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []
        """A heap of what was added. Entries that `_due` does not bear out are left over from earlier."""

    def add(self, key: str, at: float) -> bool:
        """False when it is due earlier anyway."""
        if at >= self._due.get(key, float("inf")):
            return False
        self._due[key] = at
        heapq.heappush(self._order, (at, key))
        return True

    def drop(self, key: str) -> None:
        self._due.pop(key, None)

    def due(self, now: float) -> set[str]:
        return {key for key, at in self._due.items() if at <= now}

    def first(self, passes: Callable[[str], bool]) -> tuple[float, str] | None:
        """The one that is due first of those that may be worked on, and when."""
        passed_over: list[tuple[float, str]] = []
        found: tuple[float, str] | None = None
        while self._order and found is None:
            at, key = self._order[0]
            if self._due.get(key) != at:
                heapq.heappop(self._order)
            elif passes(key):
                found = at, key
            else:
                passed_over.append(heapq.heappop(self._order))
        for entry in passed_over:
            heapq.heappush(self._order, entry)
        return found


class Queue:
    """work: called with a key; what it raises is logged, and the key is tried again later. slots: how many keys are
    worked on at the same time. sick_slots: how many of them may be marked sick. long_slots: how many more may be at
    long work."""

    def __init__(self, work: Callable[[str], None], *, slots: int, sick_slots: int, long_slots: int = 0) -> None:
        self._work = work
        self._slots = slots
        self._sick_slots = sick_slots
        self._long_slots = long_slots
        self._first = _Line()
        self._last = _Line()
        """Of low priority. A key may wait in both; it is then taken out of both."""
        self._running: set[str] = set()
        self._low: set[str] = set()
        """Those of the running that came by low priority."""
        self._sick: set[str] = set()
        self._long: set[str] = set()
        """Those of the running that are at long work."""
        self._refused: dict[str, None] = {}
        """Those that found no slot for long work, in the order in which they asked."""
        self._changed = threading.Condition()
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for number in range(self._slots + self._long_slots):
            thread = threading.Thread(target=self._serve, name=f"reconcile-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def add(self, key: str, *, after_s: float = 0.0, low_priority: bool = False) -> None:
        """Have the key looked at as soon as this time has passed; low_priority: and nothing else is to be done."""
        with self._changed:
            if (self._last if low_priority else self._first).add(key, time.monotonic() + after_s):
                self._changed.notify()

    def mark(self, key: str, *, sick: bool) -> None:
        with self._changed:
            if sick:
                self._sick.add(key)
            else:
                self._sick.discard(key)

    def lengthen(self, key: str) -> bool:
        """Called by the work on a key before it does something long: whether there is a slot for that. If not, it is
        to end at once; the key is looked at again when a slot is free."""
        with self._changed:
            if key not in self._long and len(self._long) >= self._long_slots:
                self._refused.setdefault(key)
                return False
            self._refused.pop(key, None)
            self._long.add(key)
            self._changed.notify()
            return True

    def forget(self, key: str) -> None:
        """Nothing of a key that is gone waits any more."""
        with self._changed:
            self._drop(key)
            self._sick.discard(key)
            self._refused.pop(key, None)

    def depth(self) -> int:
        """How many keys are due and wait for a thread."""
        with self._changed:
            now = time.monotonic()
            return len(self._first.due(now) | self._last.due(now))

    def running(self) -> int:
        with self._changed:
            return len(self._running)

    def stop(self) -> None:
        """Begin no more work; what runs goes on."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, seconds: float) -> bool:
        """Wait for what runs; False when some is still running after this time."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self) -> None:
        while (key := self._take()) is not None:
            try:
                self._work(key)
            except Exception:  # noqa: BLE001 - a fault of ours with one tenant must not take the thread from the others
                _log.exception("a look at the tenant failed", extra={"tenant": key})
                self.add(key, after_s=_CRASH_DELAY_S)
            finally:
                with self._changed:
                    self._running.discard(key)
                    self._low.discard(key)
                    if key in self._long:
                        self._long.discard(key)
                        self._wake_refused()
                    self._changed.notify_all()

    def _wake_refused(self) -> None:
        """All of them: one that is deleted meanwhile, or asks for nothing long any more, takes nobody's turn."""
        for key in self._refused:
            self.add(key)
        self._refused.clear()

    def _take(self) -> str | None:
        with self._changed:
            while not self._stopping:
                key, wait_s = self._next()
                if key is not None:
                    self._drop(key)
                    return key
                self._changed.wait(wait_s)
            return None

    def _drop(self, key: str) -> None:
        self._first.drop(key)
        self._last.drop(key)

    def _next(self) -> tuple[str | None, float | None]:
        """The key to work on now, then noted as running; else None and how long until one is due (None: until something
        changes)."""
        quick = self._running - self._long
        if len(quick) >= self._slots:
            return None, None
        full = len(quick & self._sick) >= self._sick_slots
        now, waits_s = time.monotonic(), []
        for line in (self._first, self._last):
            if line is self._last and len(quick & self._low) >= max(1, self._slots // 4):
                break
            found = line.first(lambda key: key not in self._running and not (full and key in self._sick))
            if found is None:
                continue
            at, key = found
            if at <= now:
                self._running.add(key)
                if line is self._last:
                    self._low.add(key)
                return key, None
            waits_s.append(at - now)
        return None, min(waits_s, default=None)
