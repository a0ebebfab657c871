"""The cases: which operation, which fault, and at which step of the operation. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tenantry.tenancy import deletion, recovery, release

__all__ = ["ASKED", "CLAIMED", "FINISHED", "WAVES", "Case", "Fault", "Operation", "all_cases", "steps_of", "wave"]

ASKED = "asked"
"""Nothing has been begun yet."""
CLAIMED = "claimed"
"""The tenant's record is written, and nothing of its stack is made."""
FINISHED = "finished"
"""The run has reached its goal, and its status may not say so yet."""
WAVES = 6
"""Waves of changes in which the tenants of this suite are made: the suite tells when that is no longer so."""


class Operation(StrEnum):
    """In the order of a tenant's life. FAILING_UPGRADE: one whose migration the API server refuses, so that it leads
    back."""

    PROVISION = "provision"
    UPGRADE = "upgrade"
    FAILING_UPGRADE = "failing-upgrade"
    RESTORE = "restore"
    DEPROVISION = "deprovision"


class Fault(StrEnum):
    """part-how. `killed`: SIGKILL, and the platform's supervisor starts it again. `down`: SIGKILL, and nobody starts it
    before it was noticed. `hung`: SIGSTOP until it was noticed. `slow`: stopped nine tenths of the time."""

    NONE = "none"
    OPERATOR_KILLED = "operator-killed"
    OPERATOR_KILLED_WHOLE = "operator-killed-with-its-workers"
    API_SERVER_DOWN = "kube-apiserver-down"
    API_SERVER_HUNG = "kube-apiserver-hung"
    OPENBAO_SEALED = "openbao-sealed"
    OPENBAO_DOWN = "openbao-down"
    OPENBAO_HUNG = "openbao-hung"
    OPENBAO_SLOW = "openbao-slow"
    MARIADB_DOWN = "mariadb-down"
    MARIADB_HUNG = "mariadb-hung"
    MARIADB_FULL = "mariadb-full"
    RABBITMQ_DOWN = "rabbitmq-down"
    REDIS_DOWN = "redis-down"

    @property
    def part(self) -> str:
        return self.value.replace("-with-its-workers", "").rpartition("-")[0]

    @property
    def how(self) -> str:
        return self.value.replace("-with-its-workers", "").rpartition("-")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """step: of the operation, at which the fault strikes. plan: of the tenant."""

    operation: Operation
    fault: Fault
    step: str
    plan: str = "starter"

    @property
    def name(self) -> str:
        return f"{self.operation}/{self.fault}/{self.step}"


def wave(number: int) -> str:
    """A step of provisioning: that many waves of changes have been begun."""
    return f"wave-{number}"


def steps_of(operation: Operation) -> tuple[str, ...]:
    """What the operation's journal tells of, in its order."""
    forward = tuple(str(step) for step in release.Step if step not in _BACK)
    match operation:
        case Operation.PROVISION:
            return (CLAIMED, *(wave(number) for number in range(1, WAVES + 1)), FINISHED)
        case Operation.UPGRADE:
            return forward
        case Operation.FAILING_UPGRADE:
            return (*forward[: forward.index(release.Step.MIGRATE) + 1], *(str(step) for step in _BACK))
        case Operation.RESTORE:
            return tuple(str(step) for step in recovery.Step)
        case Operation.DEPROVISION:
            return tuple(str(step) for step in deletion.Step)


_BACK = (release.Step.CLEAR, release.Step.RESTORE, release.Step.REOPEN)
_STRUCK_AT: dict[Operation, dict[str, str]] = {
    Operation.PROVISION: dict.fromkeys(("kube-apiserver", "openbao", "mariadb", "rabbitmq", "redis"), CLAIMED),
    Operation.UPGRADE: {
        "kube-apiserver": release.Step.MIGRATE,
        "openbao": release.Step.SNAPSHOT,
        "mariadb": release.Step.SNAPSHOT,
        "rabbitmq": release.Step.DRAIN,
        "redis": release.Step.ROLL,
    },
    Operation.RESTORE: {
        "kube-apiserver": recovery.Step.STOP,
        "openbao": recovery.Step.CHECK,
        "mariadb": recovery.Step.LOAD,
        "rabbitmq": recovery.Step.STOP,
        "redis": recovery.Step.STOP,
    },
    Operation.DEPROVISION: dict.fromkeys(
        ("kube-apiserver", "openbao", "mariadb", "rabbitmq", "redis"), str(deletion.Step.STACK)
    ),
}
"""When a system fails: while it is needed, with the workload already stopped where it will be."""


def all_cases() -> tuple[Case, ...]:
    """In the order in which they run. Every other kill of the operator takes its workers with it."""
    cases: list[Case] = []
    for operation in Operation:
        steps = _BACK if operation is Operation.FAILING_UPGRADE else steps_of(operation)
        for number, step in enumerate(steps):
            fault = Fault.OPERATOR_KILLED_WHOLE if number % 2 else Fault.OPERATOR_KILLED
            cases.append(Case(operation=operation, fault=fault, step=str(step)))
        for fault in Fault:
            at = _STRUCK_AT.get(operation, {}).get(fault.part)
            if at is not None:
                # Only the larger plan has a virtual host of its own.
                plan = "growth" if fault.part == "rabbitmq" else "starter"
                cases.append(Case(operation=operation, fault=fault, step=str(at), plan=plan))
    return tuple(cases)
