"""What the benches make of what they measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.arriving import Times, percentile
from bench.audit import Tail, writes_of
from bench.plotting import plot

SIZE: dict[str, Any] = {
    "alone": {"p50_s": 2.0, "p99_s": 3.0},
    "beside_hanging": {"p50_s": 2.0, "p99_s": 3.1},
    "memory": {"operator_mib": 150.0, "workers_mib": 230.0},
    "quiet": {"cpu_percent": {"operator": 0.1, "workers": 0.2}},
    "drift": {"first_s": 4.0, "unchanged_s": 1.0},
}


def test_percentiles_lie_within_what_was_measured() -> None:
    values = [float(number) for number in range(101)]
    assert (percentile(values, 50), percentile(values, 99)) == (50.0, 99.0)
    times = Times.of([3.0, 1.0, 2.0])
    assert times.p50_s == 2.0
    assert times.p50_s < times.p99_s <= max(times.each_s) == 3.0


def _entry(user: str, verb: str, resource: str = "", subresource: str = "") -> str:
    about = {"resource": resource, "subresource": subresource} if resource else None
    return json.dumps({"user": {"username": user}, "verb": verb, "objectRef": about, "requestURI": "/x"}) + "\n"


def test_only_the_writes_of_the_account_count() -> None:
    lines = [
        _entry("operator", "patch", "tenants", "status"),
        _entry("operator", "patch", "tenants", "status"),
        _entry("operator", "list", "pods"),
        _entry("somebody", "delete", "tenants"),
        _entry("operator", "create"),
    ]
    assert writes_of("operator", lines) == {"patch tenants/status": 2, "create /x": 1}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    path.write_text("earlier\n")
    return path


def test_only_what_came_later_is_read(log: Path) -> None:
    tail = Tail(log)
    with log.open("a") as more:
        more.write("later\n")
    assert list(tail.lines()) == ["later\n"]


def test_a_log_that_was_put_aside_meanwhile_is_read_to_its_end_and_on(log: Path) -> None:
    tail = Tail(log)
    with log.open("a") as more:
        more.write("later\n")
    log.rename(log.with_name("audit-1.log"))
    log.write_text("latest\n")
    assert list(tail.lines()) == ["later\n", "latest\n"]


def test_the_same_figures_give_the_same_drawing(tmp_path: Path) -> None:
    sizes = [SIZE | {"tenants": count} for count in (10, 100)]
    drawn = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for path in drawn:
        plot(sizes, path)
    first, second = (path.read_bytes() for path in drawn)
    assert first == second
    texts = {one.text for one in ElementTree.fromstring(first).iter("{http://www.w3.org/2000/svg}text")}
    assert {"A new tenant until it is ready", "p99, one database hangs", "operator"} <= texts
