"""Whose the fields of a Tenant are, and what is noted when they become ours."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.fleet.field_owners import adopted, owners

API = "tenantry.dev/v1alpha1"


def entry(manager: str, operation: str, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    """fields: of spec."""
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": API,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": fields},
        **more,
    }


def body(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API, "metadata": {"name": "acme", "managedFields": list(entries)}}


APPLIED = entry("tenantry", "Apply", {"f:plan": {}, "f:modules": {"f:web": {"f:cpu": {}}}})
EDITED = entry("tenantry", "Update", {"f:suspended": {}, "f:modules": {"f:web": {"f:scale": {}}}})
KUBECTL = entry("kubectl-client-side-apply", "Update", {"f:plan": {}, "f:hosts": {}})
KUBECTL["fieldsV1"]["f:metadata"] = {"f:annotations": {".": {}}}
STATUS = entry("tenantry-operator", "Update", {"f:hosts": {}}, subresource="status")


def test_others_are_told_by_name_and_only_those_who_wrote_the_field() -> None:
    found = body(APPLIED, EDITED, KUBECTL, entry("kubectl-patch", "Update", {"f:graceDays": {}}), STATUS)
    assert owners(found) == ("kubectl-client-side-apply", "kubectl-patch")
    assert owners(found, ["hosts"]) == ("kubectl-client-side-apply",)
    assert owners(body(APPLIED, EDITED, STATUS)) == ()


@pytest.mark.parametrize("entries", [(), (APPLIED,), (APPLIED, KUBECTL), (KUBECTL, STATUS)])
def test_nothing_is_moved_where_we_wrote_in_no_other_way(entries: tuple[dict[str, Any], ...]) -> None:
    assert adopted(body(*entries), everybody=False) is None


def test_what_we_edited_is_noted_as_applied_and_others_keep_theirs() -> None:
    assert adopted(body(EDITED, APPLIED, KUBECTL, STATUS), everybody=False) == [
        entry(
            "tenantry",
            "Apply",
            {"f:plan": {}, "f:modules": {"f:web": {"f:cpu": {}, "f:scale": {}}}, "f:suspended": {}},
        ),
        KUBECTL,
        STATUS,
    ]


def test_taking_over_moves_everybodys_spec_and_leaves_their_annotations_and_the_status() -> None:
    found = adopted(body(KUBECTL, APPLIED, STATUS), everybody=True)
    assert found is not None
    mine, kubectl, status = found
    assert set(mine["fieldsV1"]["f:spec"]) == {"f:plan", "f:modules", "f:hosts"}
    assert kubectl["fieldsV1"] == {"f:metadata": {"f:annotations": {".": {}}}}
    assert status == STATUS


def test_an_object_that_we_never_applied_gets_an_entry_of_ours() -> None:
    found = adopted(body(entry("kubectl-edit", "Update", {"f:plan": {}})), everybody=True)
    assert found == [entry("tenantry", "Apply", {"f:plan": {}})]


def test_fields_of_another_version_of_the_api_are_left_to_it() -> None:
    other = {**EDITED, "apiVersion": "tenantry.dev/v1"}
    assert adopted(body(APPLIED, other), everybody=True) is None
