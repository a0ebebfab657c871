"""What must hold inside of a state, whoever wrote it: each way to break it is found, and nothing else is."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.engine.findings import Wrong
from tenantry.engine.integrity import damages

URN = "urn:pulumi:acme::tenantry::"
STACK = {"urn": f"{URN}pulumi:pulumi:Stack::tenantry-acme", "type": "pulumi:pulumi:Stack"}
PROVIDER = {
    "urn": f"{URN}pulumi:providers:kubernetes::kubernetes",
    "type": "pulumi:providers:kubernetes",
    "custom": True,
    "id": "p-1",
    "parent": STACK["urn"],
}
SPACE = {
    "urn": f"{URN}kubernetes:core/v1:Namespace::home",
    "type": "kubernetes:core/v1:Namespace",
    "custom": True,
    "id": "home",
    "parent": STACK["urn"],
    "provider": f"{PROVIDER['urn']}::p-1",
}
QUOTA = {
    "urn": f"{URN}kubernetes:core/v1:ResourceQuota::quota",
    "type": "kubernetes:core/v1:ResourceQuota",
    "custom": True,
    "id": "home/quota",
    "parent": STACK["urn"],
    "provider": f"{PROVIDER['urn']}::p-1",
    "dependencies": [SPACE["urn"]],
    "propertyDependencies": {"metadata": [SPACE["urn"]]},
}
SOUND = (STACK, PROVIDER, SPACE, QUOTA)


def found(*resources: dict[str, Any], **rest: Any) -> list[tuple[Wrong, str]]:
    latest = {"resources": list(resources), **rest}
    return [(one.wrong, one.subject) for one in damages(latest, stack="acme", project="tenantry")]


def test_a_sound_state_has_no_finding() -> None:
    manifest = {"version": "v3.260.0", "magic": hashlib.sha256(b"v3.260.0").hexdigest()}
    assert found(*SOUND, manifest=manifest) == []
    assert found() == []


@pytest.mark.parametrize(
    ("resources", "wrong", "subject"),
    [
        pytest.param((STACK, SPACE, PROVIDER), Wrong.MISPLACED, SPACE, id="a resource before its provider"),
        pytest.param((STACK, PROVIDER, QUOTA, SPACE), Wrong.MISPLACED, QUOTA, id="a resource before its dependency"),
        pytest.param((PROVIDER | {"parent": None}, SPACE), Wrong.DANGLING, SPACE, id="a parent that is not there"),
        pytest.param((STACK, PROVIDER, QUOTA), Wrong.DANGLING, QUOTA, id="a dependency that is not there"),
        pytest.param((STACK, SPACE), Wrong.DANGLING, SPACE, id="a provider that is not there"),
        pytest.param((STACK, PROVIDER | {"id": "p-2"}, SPACE), Wrong.DANGLING, SPACE, id="a provider by another id"),
        pytest.param((STACK, PROVIDER, SPACE, SPACE), Wrong.DUPLICATE, SPACE, id="a resource twice"),
        pytest.param((STACK, SPACE | {"type": ""}), Wrong.MALFORMED, SPACE, id="a resource without a type"),
        pytest.param(
            (STACK, PROVIDER, SPACE | {"deletedWith": "urn:x"}), Wrong.DANGLING, SPACE, id="goes with nothing"
        ),
    ],
)
def test_what_breaks_a_state_is_found_at_its_resource(
    resources: tuple[dict[str, Any], ...], wrong: Wrong, subject: dict[str, Any]
) -> None:
    assert (wrong, subject["urn"]) in found(*resources)


def test_a_state_of_another_stack_is_told() -> None:
    other = {"urn": STACK["urn"].replace("acme", "globex"), "type": "pulumi:pulumi:Stack"}
    assert found(other) == [(Wrong.FOREIGN, other["urn"])]
    assert list(damages({"resources": [other]})) == []


def test_a_manifest_that_was_edited_is_told() -> None:
    magic = hashlib.sha256(b"v3.260.0").hexdigest()
    assert found(*SOUND, manifest={"version": "v3.999.0", "magic": magic}) == [(Wrong.MALFORMED, "manifest")]


def test_what_the_cli_has_yet_to_delete_may_stand_a_second_time() -> None:
    assert found(*SOUND, SPACE | {"delete": True}) == []


@pytest.mark.parametrize("entry", [None, 7, [], {}, {"urn": 3, "type": "t"}], ids=str)
def test_an_entry_that_is_no_resource_is_found_and_ends_nothing(entry: Any) -> None:
    assert [wrong for wrong, _ in found(*SOUND, entry)] == [Wrong.MALFORMED]


@given(st.permutations(range(4)))
def test_only_an_order_in_which_each_comes_after_what_it_refers_to_is_sound(order: list[int]) -> None:
    place = {number: order.index(number) for number in order}
    in_order = place[0] < place[1] < place[2] < place[3]
    assert (found(*(SOUND[number] for number in order)) == []) == in_order
