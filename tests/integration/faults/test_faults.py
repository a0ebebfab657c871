"""Some cases of `python -m bench.faults`, by its own code: a real operator, killed or without what it needs.

They are those that no other test has: with a step that each verb of the operator has of its own, and each way in which
a system can fail. The whole suite takes too long for every day.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.faults.cases import Case, Fault, Operation, wave
from bench.faults.cell import fault_cell
from bench.faults.running import Suite
from tenantry.tenancy import deletion, recovery, release


@pytest.fixture(scope="module")
def suite() -> Iterator[Suite]:
    """On a platform of its own, whose parts are killed and stopped."""
    with fault_cell() as cell:
        yield Suite(cell)


def survives(suite: Suite, operation: Operation, fault: Fault, step: str) -> None:
    case = Case(operation=operation, fault=fault, step=str(step))
    found = suite.run(case)
    assert found.where != "", case.name
    assert found.problems == (), case.name


def test_an_operator_killed_while_a_tenant_is_made(suite: Suite) -> None:
    survives(suite, Operation.PROVISION, Fault.OPERATOR_KILLED, wave(3))


def test_an_api_server_that_hangs_during_a_release(suite: Suite) -> None:
    survives(suite, Operation.UPGRADE, Fault.API_SERVER_HUNG, release.Step.MIGRATE)


def test_an_operator_killed_with_its_workers_during_a_restore(suite: Suite) -> None:
    survives(suite, Operation.RESTORE, Fault.OPERATOR_KILLED_WHOLE, recovery.Step.SWAP)


def test_an_openbao_that_is_slow_while_a_tenant_is_deleted(suite: Suite) -> None:
    survives(suite, Operation.DEPROVISION, Fault.OPENBAO_SLOW, deletion.Step.STACK)
