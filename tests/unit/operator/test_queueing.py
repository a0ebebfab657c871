"""The queue: one thread a key, nothing lost, the sick leave room."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tenantry_operator.queueing import Queue

LIMIT_S = 20.0


@contextmanager
def running(
    work: Callable[[str], None], *, slots: int = 4, sick_slots: int = 2, long_slots: int = 2
) -> Iterator[Queue]:
    queue = Queue(work, slots=slots, sick_slots=sick_slots, long_slots=long_slots)
    queue.start()
    try:
        yield queue
    finally:
        queue.stop()
        assert queue.join(LIMIT_S)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_a_key_that_is_added_while_it_runs_is_looked_at_once_more_and_never_twice_at_a_time() -> None:
    go, seen, at_once = threading.Event(), [], []

    def work(key: str) -> None:
        at_once.append(key)
        assert at_once.count(key) == 1
        go.wait(LIMIT_S)
        seen.append(key)
        at_once.remove(key)

    with running(work) as queue:
        queue.add("a")
        until(lambda: at_once == ["a"])
        for _ in range(5):
            queue.add("a")
        go.set()
        until(lambda: len(seen) == 2)
        until(lambda: queue.running() == 0)
    assert seen == ["a", "a"]


def test_the_earliest_of_several_times_counts_and_the_rest_is_dropped() -> None:
    seen: list[str] = []
    with running(seen.append) as queue:
        queue.add("a", after_s=3600)
        queue.add("a", after_s=0.01)
        queue.add("a", after_s=1800)
        until(lambda: seen == ["a"])
        assert queue.depth() == 0


def test_keys_come_in_the_order_in_which_they_became_due() -> None:
    seen: list[str] = []
    queue = Queue(seen.append, slots=1, sick_slots=1, long_slots=1)
    for key in ("c", "a", "b", "a"):
        queue.add(key)
    queue.start()
    until(lambda: len(seen) == 3)
    queue.stop()
    assert queue.join(LIMIT_S)
    assert seen == ["c", "a", "b"]


def test_sick_keys_that_hang_leave_slots_for_the_healthy() -> None:
    release, hung, done = threading.Event(), [], []

    def work(key: str) -> None:
        if key.startswith("sick"):
            hung.append(key)
            release.wait(LIMIT_S)
        else:
            done.append(key)

    with running(work, slots=3, sick_slots=2) as queue:
        for number in range(6):
            queue.mark(f"sick-{number}", sick=True)
            queue.add(f"sick-{number}")
        until(lambda: len(hung) == 2)
        queue.add("well")
        until(lambda: done == ["well"])
        assert len(hung) == 2
        release.set()
        until(lambda: len(hung) == 6)


@pytest.mark.parametrize("sick", [False, True])
def test_long_work_holds_no_look_up_and_is_all_done_so_many_at_a_time(sick: bool) -> None:
    release, at_work, most, done = threading.Event(), set[str](), set[int](), set[str]()

    def work(key: str) -> None:
        if key.startswith("long"):
            if not queue.lengthen(key):
                return
            at_work.add(key)
            most.add(len(at_work))
            assert release.wait(LIMIT_S)
            at_work.discard(key)
        done.add(key)

    longs = {f"long-{number}" for number in range(7)}
    with running(work, slots=1, sick_slots=1, long_slots=2) as queue:
        for key in sorted(longs):
            queue.mark(key, sick=sick)
            queue.add(key)
        until(lambda: len(at_work) == 2)
        queue.add("quick")
        until(lambda: done == {"quick"})
        release.set()
        until(lambda: done == longs | {"quick"})
    assert max(most) == 2


def test_one_that_is_gone_while_it_waits_for_long_work_takes_nobodys_turn() -> None:
    release, began, seen = threading.Event(), [], []

    def work(key: str) -> None:
        seen.append(key)
        if queue.lengthen(key):
            began.append(key)
            assert release.wait(LIMIT_S)

    with running(work, slots=1, sick_slots=1, long_slots=1) as queue:
        for key in ("first", "gone", "last"):
            queue.add(key)
        until(lambda: len(seen) == 3)
        queue.forget("gone")
        release.set()
        until(lambda: began == ["first", "last"])
        until(lambda: queue.running() == 0)
    assert seen.count("gone") == 1


def test_work_that_raises_takes_no_thread_away(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def work(key: str) -> None:
        if key == "bad":
            raise RuntimeError
        seen.append(key)

    with running(work, slots=1, sick_slots=1) as queue:
        queue.add("bad")
        queue.add("good")
        until(lambda: seen == ["good"])
    assert "failed" in caplog.text
