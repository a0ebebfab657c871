"""What the API server itself refuses of a Tenant, as rules in CEL that stand in the definition.

What can never change in a living tenant: its data would have to move, or be somebody else's. And what one object can
say that contradicts itself; what needs a plan, the catalogue or the cell is judged by the operator (`resolving`).
"""

from __future__ import annotations

__all__ = ["IMMUTABLE", "RULES", "Rule"]

Rule = dict[str, str]

_MOVE = "back up and restore into a new tenant"


def _kept(field: str, default: str, hint: str) -> Rule:
    """A field of the spec that stays as it is; default: what stands there when it is left out, '' for nothing."""
    *outer, _ = parts = field.split(".")

    def value(root: str) -> str:
        path = ".".join((root, *parts))
        there = " && ".join(f"has({'.'.join((root, *parts[:count]))})" for count in range(1, len(outer) + 2))
        return f"({there} ? {path} : '{default}')"

    return {"rule": f"{value('self')} == {value('oldSelf')}", "message": f"{field} cannot change: {hint}"}


IMMUTABLE: tuple[Rule, ...] = (
    _kept("workload", "mautic", "make a new tenant"),
    _kept("database.tier", "", _MOVE),
    _kept("placement.residency", "any", _MOVE),
    _kept("environment", "production", "it decides what may be deleted"),
)
"""Rules of the spec, which compare it with what it was."""

RULES: dict[str, tuple[Rule, ...]] = {
    "Placement": (
        {
            "rule": "!(has(self.cell) && has(self.region))",
            "message": "cell and region exclude each other: keep cell, it implies the region",
        },
    ),
    "Replicas": ({"rule": "self.min <= self.max", "message": "min is larger than max"},),
    "ScheduledReplicas": (
        {"rule": "has(self.least) || has(self.most)", "message": "neither least nor most is given"},
        {
            "rule": "!has(self.least) || !has(self.most) || self.least <= self.most",
            "message": "least is larger than most",
        },
    ),
    "CalendarEntry": (
        {
            "rule": "!has(self.firstDay) || !has(self.lastDay) || self.firstDay <= self.lastDay",
            "message": "firstDay is after lastDay",
        },
    ),
}
"""By the model's class. The model says the same of a file; a test holds the two together."""
