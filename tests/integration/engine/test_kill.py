"""SIGKILL after an event of a run, then the same again: the same result as undisturbed."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tenantry.engine import EmbeddedEngine, Program, Stack
from tenantry.tenancy.errors import Conflict
from tests.integration.engine.killing import killed, numbered

_EVERY = 4
"""Of a run's events, every so manyth is one to be killed after; killing after each takes minutes."""


def program(stack: Stack) -> Program:
    return Program(
        entry="tests.integration.engine.shop:main",
        arguments={"namespace": stack.name, "file": str(stack.backend / "sign.txt")},
    )


def shape(stack: Stack, engine: EmbeddedEngine) -> list[tuple[str, str]]:
    deployment = json.loads(json.dumps(engine.export(stack)))["deployment"]
    return sorted((one["urn"].partition("::")[2], one["type"]) for one in deployment["resources"])


def test_a_killed_run_is_finished_by_the_next(
    engine: EmbeddedEngine, stack: Stack, environment: Mapping[str, str]
) -> None:
    after, expected = 0, None
    hit = True
    while hit:
        one = numbered(stack, after)
        hit = killed(one, program(one), environment, after=after)
        engine.up(one, program(one))
        assert engine.up(one, program(one)).changes == ()
        found = [(urn.replace(one.name, "NAME"), type_) for urn, type_ in shape(one, engine)]
        expected = expected or found
        assert found == expected
        locks = one.backend / ".pulumi" / "locks"
        assert not [path for path in locks.rglob("*") if path.is_file()]
        assert not (one.backend / ".tenantry" / "shop" / one.name / "journal.jsonl").exists()
        after += _EVERY
    assert after > 4 * _EVERY
    # One is removed, to see that nothing holds it; the others go with the platform.
    engine.destroy(one)
    assert not (one.backend / "sign.txt").exists()


@pytest.mark.parametrize("after", [2, 9])
def test_what_a_killed_run_made_is_recovered_without_making_more(
    engine: EmbeddedEngine, stack: Stack, environment: Mapping[str, str], after: int
) -> None:
    begun: set[str] = set()
    known: set[str] = set()
    for moment in range(after, after + 10):  # a kill may fall between two waves, or before anything of a wave is made
        one = numbered(stack, moment)
        assert killed(one, program(one), environment, after=moment)
        journal = one.backend / ".tenantry" / "shop" / one.name / "journal.jsonl"
        if journal.exists():
            begun = {json.loads(line)["state"]["urn"] for line in journal.read_text().splitlines() if line}
        engine.recover(one)
        assert not journal.exists()
        known = {resource["urn"] for resource in engine.export(one)["deployment"].get("resources", ())}
        if begun & known:
            break
    assert engine.recover(one).changes == ()
    assert engine.refresh(one).changes == ()
    assert {resource["urn"] for resource in engine.export(one)["deployment"]["resources"]} == known
    assert begun & known
    # Nothing is adopted any more: what recovering found is known, and only the rest is made.
    assert {change.urn for change in engine.up(one, program(one)).changes}.isdisjoint(begun & known)
    engine.destroy(one)
    engine.remove(one)


def test_a_killed_runs_stack_is_not_refreshed_or_removed_before_it_is_settled(
    engine: EmbeddedEngine, stack: Stack, environment: Mapping[str, str]
) -> None:
    one = numbered(stack, 9)
    assert killed(one, program(one), environment, after=9)
    with pytest.raises(Conflict, match="cut short"):
        engine.refresh(one)
    with pytest.raises(Conflict, match="still has"):
        engine.remove(one)
    engine.destroy(one)
    engine.remove(one)
    assert [path for path in one.backend.rglob("*") if path.is_file() and path.name != "meta.yaml"] == []
