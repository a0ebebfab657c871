"""In which order room is given and taken, and what is refused because it is used."""

from __future__ import annotations

import pytest

from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.room import (
    Usage,
    Volume,
    asks_for_measuring,
    over,
    room_of,
    roomier,
    stages,
    untold,
    volumes_of,
)
from tenantry.tenancy.spec import DatabaseTier
from tests.unit.conftest import Resolve

NOTHING = Usage(contacts=0, database_mib=0, messages=0)


def test_a_larger_plan_is_one_run(resolve_text: Resolve) -> None:
    small, large = resolve_text(plan="starter"), resolve_text(plan="growth")
    assert stages(large, room_of(small)) == (large,)
    assert stages(small, {}) == (small,), "and so is the first"


def test_a_smaller_plan_resizes_the_modules_in_the_room_that_they_had(resolve_text: Resolve) -> None:
    small, large = resolve_text(plan="starter"), resolve_text(plan="growth")
    first, last = stages(small, room_of(large))
    assert last == small
    assert first.workload == small.workload, "the modules are resized in the first run"
    assert first.database.connections == large.database.connections
    assert first.quota == large.quota
    assert first.messaging == small.messaging, "what is gone has no room"


def test_a_run_that_was_killed_is_begun_again_with_all_the_room(resolve_text: Resolve) -> None:
    small, large = resolve_text(plan="starter"), resolve_text(plan="growth")
    between = roomier(room_of(large), room_of(small))
    assert stages(small, between) == stages(small, room_of(large))
    assert stages(small, room_of(small)) == (small,)


def test_switching_a_module_off_takes_its_room_away_last(resolve_text: Resolve) -> None:
    whole, less = resolve_text(), resolve_text("modules: {analytics: {enabled: false}}")
    first, last = stages(less, room_of(whole))
    assert (first.quota, last.quota) == (whole.quota, less.quota)
    assert not asks_for_measuring(less, room_of(whole))


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        pytest.param(NOTHING, [], id="it fits"),
        pytest.param(Usage(contacts=None, database_mib=None, messages=None), [], id="what is not told is not over"),
        pytest.param(Usage(contacts=5000, database_mib=5120, messages=0), [], id="exactly full"),
        pytest.param(Usage(contacts=5001, database_mib=0, messages=0), ["1 more than plan starter"], id="contacts"),
        pytest.param(Usage(contacts=0, database_mib=6000, messages=0), ["880 MiB more than"], id="database"),
        pytest.param(Usage(contacts=0, database_mib=0, messages=7), ["7 messages wait"], id="messages would be lost"),
        pytest.param(
            Usage(contacts=9000, database_mib=9000, messages=1),
            ["9000 contacts", "9000 MiB", "1 messages"],
            id="all of it is told at once",
        ),
    ],
)
def test_what_is_used_must_fit(resolve_text: Resolve, usage: Usage, words: list[str]) -> None:
    small, room = resolve_text(plan="starter"), room_of(resolve_text(plan="growth"))
    assert asks_for_measuring(small, room)
    problems = over(small, room, usage)
    assert len(problems) == len(words)
    for problem, word in zip(problems, words, strict=True):
        assert word in problem.message
        assert problem.hint


def test_more_of_everything_is_not_measured(resolve_text: Resolve) -> None:
    small, large = resolve_text(plan="starter"), resolve_text(plan="growth")
    assert not asks_for_measuring(large, room_of(small))
    assert not asks_for_measuring(small, {}), "nor what nobody noted"


def test_what_could_be_told_must_be(resolve_text: Resolve) -> None:
    small, room = resolve_text(plan="starter"), room_of(resolve_text(plan="growth"))
    assert not untold(small, room, NOTHING)
    assert untold(small, room, Usage(contacts=0, database_mib=0, messages=None))
    assert untold(small, room, Usage(contacts=None, database_mib=0, messages=0))
    own = resolve_text("database: {tier: dedicated}")
    assert own.database.tier is DatabaseTier.DEDICATED
    assert not untold(own, room_of(own), Usage(contacts=None, database_mib=None, messages=0))


def test_a_volume_never_shrinks_and_its_surplus_is_no_fault(resolve_text: Resolve) -> None:
    large = resolve_text(plan="growth")
    small = resolve_text(plan="starter", volumes=volumes_of(large))
    assert volumes_of(small) == volumes_of(large)
    assert small.quota.storage_mib == large.quota.storage_mib
    grown = resolve_text(plan="enterprise", volumes=volumes_of(large))
    assert all(volumes_of(grown)[name].size_mib >= one.size_mib for name, one in volumes_of(large).items())


def test_a_volume_is_on_every_plan_what_it_must_be_on_the_largest(resolve_text: Resolve) -> None:
    small, large = resolve_text(plan="starter"), resolve_text(plan="enterprise")
    assert all(one.shared and volumes_of(large)[name].shared for name, one in volumes_of(small).items())


def test_a_shared_volume_stays_shared(resolve_text: Resolve) -> None:
    lines = ("environment: test", "modules: {api-integrators: {enabled: false}}")
    alone = volumes_of(resolve_text(*lines, plan="starter"))["imports"]
    stands = {"imports": Volume(size_mib=1, shared=True)}
    kept = volumes_of(resolve_text(*lines, plan="starter", volumes=stands))["imports"]
    assert (alone.shared, kept.shared) == (False, True)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        pytest.param("hosts: [a.example, b.example]", "spec.hosts", id="hosts"),
        pytest.param("limits: {contacts: 20000}", "spec.limits.contacts", id="contacts asked for"),
        pytest.param("modules: {web: {replicas: {min: 3, max: 4}}}", "spec.modules.web.replicas", id="replicas"),
        pytest.param("modules: {scoring: {scale: 3}}", "spec.modules.scoring.scale", id="replicas by hand"),
    ],
)
def test_what_the_file_asks_for_must_fit_too(resolve_text: Resolve, line: str, path: str) -> None:
    resolve_text(line, plan="growth")
    with pytest.raises(InvalidInput) as caught:
        resolve_text(line, plan="starter")
    assert path in [one.path for one in caught.value.problems]
