"""A release on a real API server and a real MariaDB: it ends new, or old with its data, wherever it is cut."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tenantry.fleet import Fleet
from tenantry.releasing import Advanced, Releasing
from tenantry.tenancy.errors import Conflict, InvalidInput
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.release import End, Release, Step
from tenantry.tenancy.spec import Hold
from tests.integration.releasing.conftest import FIRST, NEW_LETTERS, OLD_LETTERS, PORT, SECOND, THIRD, Sender

LOOKS = 120
"""Calls after which a release that does not end is given up by a test; each waits for what it has to."""


def until_ended(releasing: Releasing, sender: Sender, progress: Callable[[str], None] = lambda _: None) -> Advanced:
    pause = threading.Event()
    for _ in range(LOOKS):
        advanced = releasing.advance(sender.name, progress=progress)
        if advanced.again_after is None:
            return advanced
        pause.wait(advanced.again_after.total_seconds() / 4)
    raise AssertionError(advanced)


def migrating(sender: Sender) -> Callable[[str], None]:
    """Does to the data what the migration Job of a real node would have done by the time that modules roll."""
    return lambda line: sender.migrate() if line.startswith("roll:") else None


def assert_old(sender: Sender) -> None:
    assert sender.images() == {"web": "1.0", "carrier": "1.0"}
    assert sender.letters == OLD_LETTERS
    assert sender.is_open()
    assert sender.record.installed == FIRST.at(Hold.NONE)
    assert sender.record.last_good == FIRST


def assert_new(sender: Sender) -> None:
    assert sender.images() == {"web": "2.0", "carrier": "2.0"}
    assert sender.letters == NEW_LETTERS
    assert sender.is_open()
    assert sender.record.installed == SECOND.at(Hold.NONE)
    assert sender.record.last_good == SECOND


def test_a_tenant_goes_to_the_next_release_and_nothing_runs_while_its_data_changes(
    releasing: Releasing, sender: Sender
) -> None:
    seen: dict[str, tuple[dict[str, str], bool]] = {}

    def watch(line: str) -> None:
        seen.setdefault(line.split(":")[0], (sender.images(), sender.is_open()))
        migrating(sender)(line)

    releasing.request(sender.name, SECOND, by="tests")
    ended = until_ended(releasing, sender, watch)
    assert ended.release.end is End.RELEASED, ended
    # Each step as the one before left it.
    old = {"web": "1.0", "carrier": "1.0"}
    assert seen["drain"] == (old, False)
    assert seen["snapshot"] == seen["migrate"] == seen["roll"] == ({}, False)
    assert seen["verify"] == seen["open"] == ({"web": "2.0"}, False)
    assert_new(sender)
    with pytest.raises(InvalidInput, match="older than"):
        releasing.request(sender.name, FIRST, by="tests")


def test_a_release_that_must_not_be_skipped_to_is_refused_and_nothing_is_touched(
    releasing: Releasing, sender: Sender
) -> None:
    with pytest.raises(InvalidInput, match="no way from release"):
        releasing.request(sender.name, THIRD, by="tests")
    assert sender.fleet.releases.get(sender.namespace) is None
    assert_old(sender)


@contextmanager
def failing_jobs(sender: Sender) -> Iterator[Callable[[], None]]:
    """Every pod of a Job of the tenant fails, until the call that it gives: no node takes it, and it is said to have
    failed."""
    cluster, done = sender.cluster, threading.Event()
    nodes = [one["metadata"]["name"] for one in cluster.request("GET", "/api/v1/nodes")["items"]]

    def cordon(on: bool) -> None:
        for node in nodes:
            cluster.request(
                "PATCH",
                f"/api/v1/nodes/{node}",
                body={"spec": {"unschedulable": on}},
                content_type="application/merge-patch+json",
            )

    def fail() -> None:
        pods = f"/api/v1/namespaces/{sender.namespace}/pods"
        while not done.wait(0.2):
            for pod in cluster.request("GET", pods, query={"labelSelector": "job-name"})["items"]:
                if pod["status"].get("phase") == "Pending":
                    path = f"{pods}/{pod['metadata']['name']}/status"
                    body = {"status": {"phase": "Failed"}}
                    cluster.request("PATCH", path, body=body, content_type="application/merge-patch+json")

    thread = threading.Thread(target=fail, daemon=True)

    def stop() -> None:
        done.set()
        thread.join(10)
        cordon(False)

    cordon(True)
    thread.start()
    try:
        yield stop
    finally:
        stop()


def test_a_failing_migration_brings_back_image_and_data(releasing: Releasing, sender: Sender) -> None:
    with failing_jobs(sender) as stop:

        def half_done(line: str) -> None:
            if line.startswith("migrate:"):
                sender.migrate()
            if line.startswith("reopen:"):
                stop()

        releasing.request(sender.name, SECOND, by="tests")
        ended = until_ended(releasing, sender, half_done)
    assert ended.release.end is End.ROLLED_BACK
    assert ended.release.going_back is not None
    assert "migration failed: job migrate-2-0" in ended.release.going_back
    assert_old(sender)


@contextmanager
def front_desk(answer: str) -> Iterator[str]:
    """A real web server on this machine's own address, which a pod can be said to have."""

    class Desk(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            return

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; tells by which address this machine goes out
        address = probe.getsockname()[0]
    server = http.server.ThreadingHTTPServer((address, PORT), Desk)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()


def answering(sender: Sender, address: str) -> Callable[[str], None]:
    """Gives the new web pod the address of the front desk, and migrates like a real node."""

    def act(line: str) -> None:
        migrating(sender)(line)
        if line.startswith("verify:"):
            pods = f"/api/v1/namespaces/{sender.namespace}/pods"
            found = sender.cluster.request("GET", pods, query={"labelSelector": "app.kubernetes.io/component=web"})
            for pod in found["items"]:
                body = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
                path = f"{pods}/{pod['metadata']['name']}/status"
                sender.cluster.request("PATCH", path, body=body, content_type="application/merge-patch+json")

    return act


@pytest.fixture
def asking(fleet: Fleet) -> Fleet:
    """The fleet as if nodes were real: it asks pods whether they are well."""
    kubernetes = fleet.cell.spec.kubernetes.model_copy(update={"simulated_nodes": False})
    cell = fleet.cell.model_copy(update={"spec": fleet.cell.spec.model_copy(update={"kubernetes": kubernetes})})
    return Fleet(cell=cell, engine=fleet.engine, catalogue=fleet.catalogue, root=fleet.folder.parents[1])


@pytest.mark.parametrize(
    ("answer", "end", "check"),
    [
        pytest.param("all is well", End.RELEASED, assert_new, id="sound"),
        pytest.param("I feel sick", End.ROLLED_BACK, assert_old, id="unsound"),
    ],
)
def test_the_smoke_check_decides_whether_anybody_gets_in(
    asking: Fleet, sender: Sender, answer: str, end: End, check: Callable[[Sender], None]
) -> None:
    releasing = Releasing(asking)
    releasing.request(sender.name, SECOND, by="tests")
    with front_desk(answer) as address:
        ended = until_ended(releasing, sender, answering(sender, address))
    assert ended.release.end is end, ended
    if end is End.ROLLED_BACK:
        assert "does not hold 'well'" in str(ended.release.going_back)
    check(sender)


class Killed(BaseException):
    """The process is gone: nothing after it happens."""


@contextmanager
def cut(fleet: Fleet, moments: set[tuple[Step, str]]) -> Iterator[None]:
    """Kills whoever notes one of these moments, once each: right after a step was noted as begun, or after it acted
    and before it is noted as done."""
    put = fleet.releases.put

    def noting(release: Release) -> None:
        acted = next(((step, "acted") for step in release.done if (step, "acted") in moments), None)
        if acted is not None:
            moments.discard(acted)
            raise Killed(acted)
        put(release)
        begun = (release.step, "begun")
        if begun in moments and release.step is not None:
            moments.discard((release.step, "begun"))
            raise Killed(begun)

    fleet.releases.put = noting  # type: ignore[method-assign]
    try:
        yield
    finally:
        del fleet.releases.put


FORWARD = [step for step in Step if step not in (Step.CLEAR, Step.RESTORE, Step.REOPEN)]


def finish(fleet: Fleet, sender: Sender, moments: set[tuple[Step, str]], progress: Callable[[str], None]) -> Advanced:
    """Go on after each kill as another process would, until it has ended."""
    for _ in range(len(moments) + LOOKS):
        try:
            with cut(fleet, moments):
                return until_ended(Releasing(fleet), sender, progress)
        except Killed:
            continue
    raise AssertionError("it does not end")


def test_killed_at_every_step_it_ends_new(fleet: Fleet, releasing: Releasing, sender: Sender) -> None:
    releasing.request(sender.name, SECOND, by="tests")
    moments = {(step, moment) for step in FORWARD for moment in ("begun", "acted")}
    ended = finish(fleet, sender, moments, migrating(sender))
    assert not moments, "some step was never cut"
    assert ended.release.end is End.RELEASED
    assert_new(sender)


def test_killed_at_every_step_of_the_way_back_it_ends_old(asking: Fleet, sender: Sender) -> None:
    Releasing(asking).request(sender.name, SECOND, by="tests")
    moments = {(step, moment) for step in (Step.CLEAR, Step.RESTORE, Step.REOPEN) for moment in ("begun", "acted")}
    with front_desk("I feel sick") as address:
        ended = finish(asking, sender, moments, answering(sender, address))
    assert not moments, "some step was never cut"
    assert ended.release.end is End.ROLLED_BACK
    assert_old(sender)


def test_while_it_is_under_way_nobody_else_runs_the_stack_back(
    fleet: Fleet, releasing: Releasing, sender: Sender
) -> None:
    before = fleet.specs.of(sender.record)
    releasing.request(sender.name, SECOND, by="tests")
    with pytest.raises(Killed), cut(fleet, {(Step.SNAPSHOT, "begun")}):
        until_ended(releasing, sender)
    with pytest.raises(Conflict, match="under way"):
        releasing.request(sender.name, FIRST, by="tests")
    file = parse_tenant(sender.record.manifest, source=sender.record.source)
    (applied,) = fleet.up([(file, before)])
    assert applied.error is None  # resolved again, at the step where the release stands
    assert sender.images() == {}
    assert not sender.is_open()
    assert until_ended(releasing, sender, migrating(sender)).release.end is End.RELEASED
    assert_new(sender)
