"""The one queue of the operator: keys that wait to be looked at, and the threads that do it.

A key is worked on by one thread at a time. Adding a key that waits keeps the earlier time; adding one that is being
worked on makes it wait for its end and be looked at again. The key that is due longest comes first. Keys marked sick
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


class Queue:
    """work: called with a key; what it raises is logged, and the key is tried again later. slots: how many keys are
    worked on at the same time. sick_slots: how many of them may be marked sick. long_slots: how many more may be at
    long work."""

    def __init__(self, work: Callable[[str], None], *, slots: int, sick_slots: int, long_slots: int = 0) -> None:
        self._work = work
        self._slots = slots
        self._sick_slots = sick_slots
        self._long_slots = long_slots
        self._due: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []
        """A heap of what was added. Entries that `_due` does not bear out are left over from earlier."""
        self._running: set[str] = set()
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

    def add(self, key: str, *, after_s: float = 0.0) -> None:
        """Have the key looked at after this time at the latest."""
        with self._changed:
            at = time.monotonic() + after_s
            if at < self._due.get(key, float("inf")):
                self._due[key] = at
                heapq.heappush(self._order, (at, key))
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
            self._due.pop(key, None)
            self._sick.discard(key)
            self._refused.pop(key, None)

    def depth(self) -> int:
        """How many keys are due and wait for a thread."""
        with self._changed:
            now = time.monotonic()
            return sum(at <= now for at in self._due.values())

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
                    del self._due[key]
                    self._running.add(key)
                    return key
                self._changed.wait(wait_s)
            return None

    def _next(self) -> tuple[str | None, float | None]:
        """The key to work on now; else None and how long until one is due (None: until something changes)."""
        quick = self._running - self._long
        if len(quick) >= self._slots:
            return None, None
        full = len(quick & self._sick) >= self._sick_slots
        passed_over: list[tuple[float, str]] = []
        found: tuple[float, str] | None = None
        while self._order and found is None:
            at, key = self._order[0]
            if self._due.get(key) != at:
                heapq.heappop(self._order)
            elif key in self._running or (full and key in self._sick):
                passed_over.append(heapq.heappop(self._order))
            else:
                found = at, key
        for entry in passed_over:
            heapq.heappush(self._order, entry)
        if found is None:
            return None, None
        wait_s = found[0] - time.monotonic()
        return (found[1], None) if wait_s <= 0 else (None, wait_s)
