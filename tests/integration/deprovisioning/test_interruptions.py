"""A kill at every step, and each system down in turn: the deletion names the step, and ends all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tenantry.deprovisioning import Deprovisioning
from tenantry.local.layout import Layout
from tenantry.local.supervisor import Supervisor
from tenantry.tenancy.deletion import Step
from tenantry.tenancy.errors import DependencyUnavailable, RunFailed
from tests.integration.deprovisioning.conftest import Made, Make, Systems

# Another process advances the deletion and is killed by SIGKILL in the middle of a step: after the step acted, before
# it is noted, or right after the note.
_KILLED = """
import os, signal, sys
from pathlib import Path
from tenantry.deprovisioning import Deprovisioning
from tenantry.engine import EmbeddedEngine
from tenantry.fleet import Fleet
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_cell
cell, root, name, moments = sys.argv[1:]
fleet = Fleet(cell=load_cell(Path(cell)), engine=EmbeddedEngine(), catalogue=Catalogue.load(), root=Path(root))
put = fleet.deletions.put
known = set()
def stop(deletion):
    new = set(deletion.done) - known
    known.update(new)
    for step in new:
        if f"{step}-before" == moments: os.kill(os.getpid(), signal.SIGKILL)
    put(deletion)
    for step in new:
        if f"{step}-after" == moments: os.kill(os.getpid(), signal.SIGKILL)
fleet.deletions.put = stop
known.update(fleet.deletions.get(name).done)
Deprovisioning(fleet).advance(name)
"""


def killed(systems: Systems, made: Made, moment: str) -> int:
    root = systems.fleet.folder.parents[1]
    command = [sys.executable, "-c", _KILLED, os.environ["TENANTRY_CELL"], str(root), made.name, moment]
    return subprocess.run(command, check=False, timeout=180, env=dict(os.environ)).returncode


def test_killed_after_every_step_it_ends_the_same(systems: Systems, deprovisioning: Deprovisioning, make: Make) -> None:
    made = make()
    deprovisioning.request(made.name, by="tests", now=True)
    for step in Step:
        # Alternately before and after the note, so that half of the steps act twice.
        moment = "before" if list(Step).index(step) % 2 == 0 else "after"
        assert killed(systems, made, f"{step}-{moment}") == -signal.SIGKILL, step
    ended = deprovisioning.advance(made.name)
    assert ended.error is None
    assert ended.tombstone is not None
    assert ended.tombstone.certificate["payload"]["inventory"]["result"] == "nothing-left"


def test_what_killed_writers_left_half_written_goes_with_the_tenant(
    systems: Systems, deprovisioning: Deprovisioning, make: Make
) -> None:
    """Their names, or their texts, carry the incarnation: the inventory would never come to its end."""
    made, folder = make(), systems.fleet.folder
    state = systems.fleet.backend
    written = (
        folder / "tenants" / f"{made.name}.json",
        folder / "operations" / made.names.namespace / "deprovision.json",
        state / ".pulumi" / "stacks" / "tenantry" / f"{made.name}.json",
        state / "settings" / "tenantry" / f"Pulumi.{made.name}.yaml",
    )
    deprovisioning.request(made.name, by="tests", now=True)
    for path in written:
        assert path.exists()
        path.with_name(f".{path.name}.0123abcd").write_text(f'{{"half": "{made.incarnation}')
    ended = deprovisioning.advance(made.name)
    assert ended.error is None, ended.error
    assert ended.tombstone is not None


@contextmanager
def stopped(systems: Systems, part: str) -> Iterator[None]:
    """A part of the platform that is down within the block."""
    supervisor = Supervisor(Layout.of(systems.platform.name, systems.platform.home))
    supervisor.stop(part)
    try:
        yield
    finally:
        systems.platform.up(lambda _: None)


def test_with_each_system_down_in_turn_it_names_the_step_and_goes_on_when_it_is_back(
    systems: Systems, deprovisioning: Deprovisioning, make: Make
) -> None:
    made = make()
    deprovisioning.request(made.name, by="tests", now=True)
    for part, step in (
        ("kube-apiserver", Step.CLOSE),
        ("openbao", Step.SURVEY),
        ("mariadb", Step.SURVEY),
        ("rabbitmq", Step.STACK),
        ("redis", Step.CACHE),
    ):
        with stopped(systems, part):
            failing = deprovisioning.advance(made.name)
            assert isinstance(failing.error, DependencyUnavailable | RunFailed), part
            assert failing.tombstone is None
            assert failing.deletion.failure is not None
            assert failing.deletion.failure.step is step, part
            assert failing.again_at is not None
    ended = deprovisioning.advance(made.name)
    assert ended.error is None, ended.error
    assert ended.tombstone is not None
