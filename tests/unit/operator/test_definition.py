"""The definition in the cluster against the operator: absent, of another version, older, newer."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tenantry.tenancy.schema import crd
from tenantry_operator.definition import compare


def schema_of(definition: dict[str, Any]) -> dict[str, Any]:
    return dict(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"])


def changed(**found: Any) -> dict[str, Any]:
    """drop: a field of the spec that it lacks. add: one that we do not know. version: its name."""
    made = copy.deepcopy(crd())
    spec = schema_of(made)["spec"]["properties"]
    if "drop" in found:
        del spec[found["drop"]]
    if "add" in found:
        spec["modules"]["additionalProperties"]["properties"][found["add"]] = {"type": "string"}
    if "version" in found:
        made["spec"]["versions"][0]["name"] = found["version"]
    return made


def test_the_one_that_it_was_built_for_is_neither_an_obstacle_nor_worth_a_warning() -> None:
    compared = compare(crd())
    assert (compared.obstacle, compared.warning) == ("", "")


@pytest.mark.parametrize(
    ("live", "said"),
    [
        pytest.param(None, "no definition tenants.tenantry.dev: run `tenantry cell up`", id="absent"),
        pytest.param(changed(version="v1beta1"), "does not serve tenantry.dev/v1alpha1", id="of another version"),
        pytest.param(
            changed(drop="scaling"), "older than this operator, it lacks spec.scaling", id="older: fields are missing"
        ),
    ],
)
def test_what_the_operator_cannot_work_with_says_what_to_do(live: dict[str, Any] | None, said: str) -> None:
    assert said in compare(live).obstacle


def test_a_newer_one_is_worked_with_and_told_of() -> None:
    compared = compare(changed(add="colour"))
    assert compared.obstacle == ""
    assert "newer than this operator, which does not know spec.modules.colour" in compared.warning
