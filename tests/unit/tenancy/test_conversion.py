"""Versions of the API, by way of the hub: there and back is the same, and what is not known is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.conversion import TENANT_VERSIONS, Conversions, Version
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.schema import crd

GROUP = "dummy.tenantry.dev"


def to_hub(body: Any) -> dict[str, Any]:
    spec = dict(body["spec"])
    return {**body, "spec": {"owner": spec.pop("contact"), **spec}}


def from_hub(body: Any) -> dict[str, Any]:
    spec = dict(body["spec"])
    return {**body, "spec": {"contact": spec.pop("owner"), **spec}}


def renames(body: Any) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "name": "another"}}


CONVERSIONS = Conversions(
    GROUP,
    hub="v1alpha1",
    versions=[
        Version(name="v1alpha1"),
        Version(name="v1beta1", to_hub=to_hub, from_hub=from_hub),
        Version(name="v1beta2", to_hub=to_hub, from_hub=from_hub),
        Version(name="v1wrong", to_hub=to_hub, from_hub=renames),
    ],
)


def tenant(version: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/{version}",
        "kind": "Tenant",
        "metadata": {"name": "acme", "uid": "1"},
        "spec": spec,
    }


@given(owner=st.text(), plan=st.text(), way=st.permutations(["v1alpha1", "v1beta1", "v1beta2"]))
def test_a_way_through_all_versions_ends_where_it_began(owner: str, plan: str, way: list[str]) -> None:
    first = tenant("v1alpha1", owner=owner, plan=plan)
    body = first
    for version in (*way, "v1alpha1"):
        body = CONVERSIONS.convert(body, f"{GROUP}/{version}")
    assert body == first


def test_another_version_has_its_own_fields() -> None:
    made = CONVERSIONS.convert(tenant("v1alpha1", owner="a@example.com"), f"{GROUP}/v1beta1")
    assert made == tenant("v1beta1", contact="a@example.com")


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        pytest.param(tenant("v1alpha1", owner="a"), f"{GROUP}/v2", id="a version wanted that nobody knows"),
        pytest.param(tenant("v0", owner="a"), f"{GROUP}/v1beta1", id="an object of a version that nobody knows"),
        pytest.param(tenant("v1alpha1", owner="a"), "other.dev/v1beta1", id="another group"),
        pytest.param(tenant("v1alpha1", owner="a"), f"{GROUP}/v1wrong", id="a conversion that renames the object"),
    ],
)
def test_what_cannot_be_converted_is_refused(body: dict[str, Any], wanted: str) -> None:
    with pytest.raises(InvalidInput):
        CONVERSIONS.convert(body, wanted)


def test_a_review_is_answered_whole_or_says_why_not() -> None:
    objects = [tenant("v1alpha1", owner="a"), tenant("v1beta2", contact="b")]
    asked = {"request": {"uid": "7", "desiredAPIVersion": f"{GROUP}/v1beta1", "objects": objects}}
    answer = CONVERSIONS.review(asked)["response"]
    assert answer["uid"] == "7"
    assert answer["result"] == {"status": "Success"}
    assert answer["convertedObjects"] == [tenant("v1beta1", contact="a"), tenant("v1beta1", contact="b")]
    broken = {"request": {**asked["request"], "objects": [*objects, tenant("v1beta2")]}}
    answer = CONVERSIONS.review(broken)["response"]
    assert answer["convertedObjects"] == []
    assert answer["result"]["status"] == "Failure"
    assert "contact" in answer["result"]["message"]


def test_the_definition_serves_the_versions_that_can_be_converted() -> None:
    assert tuple(one["name"] for one in crd()["spec"]["versions"]) == TENANT_VERSIONS.names
