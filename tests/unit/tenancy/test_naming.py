"""Names are injective, short enough and reversible."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given

from tenantry.tenancy.naming import incarnation_of, names, tenant_of_namespace
from tests.unit.strategies import incarnations, tenant_names

LONGEST = {
    "namespace": 63,
    "schema": 64,
    "account_a": 80,
    "account_b": 80,
    "messaging_vhost": 255,
    "messaging_user": 255,
    "cache_user": 255,
    "transit_key": 128,
    "database_role_a": 128,
    "database_role_b": 128,
    "kv_path": 128,
    "rds_instance": 63,
    "cache_user_id": 40,
}


@given(tenant_names, incarnations)
def test_every_name_fits_the_system_it_goes_into(name: str, incarnation: str) -> None:
    derived = names(name, incarnation)
    for field, most in LONGEST.items():
        assert len(getattr(derived, field)) <= most
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", derived.namespace)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", derived.schema)
    for aws in (derived.rds_instance, derived.cache_user_id):
        assert re.fullmatch(r"[a-z](-?[a-z0-9])*", aws), "AWS: letters first, hyphens one by one"


@given(tenant_names, incarnations, tenant_names, incarnations)
def test_two_tenants_share_no_name(name: str, incarnation: str, other: str, other_incarnation: str) -> None:
    mine, theirs = names(name, incarnation), names(other, other_incarnation)
    same = (name, incarnation) == (other, other_incarnation)
    for field in dataclasses.fields(mine):
        if field.name != "stack":
            assert (getattr(mine, field.name) == getattr(theirs, field.name)) is same


@given(tenant_names, incarnations)
def test_a_namespace_can_be_read_back(name: str, incarnation: str) -> None:
    assert tenant_of_namespace(names(name, incarnation).namespace) == (name, incarnation)


@given(tenant_names, incarnations, tenant_names, incarnations)
def test_no_prefix_is_the_beginning_of_anothers(name: str, incarnation: str, other: str, second: str) -> None:
    if (name, incarnation) == (other, second):
        return
    mine, theirs = names(name, incarnation), names(other, second)
    assert not mine.cache_prefix.startswith(theirs.cache_prefix)
    assert not mine.backup_prefix.startswith(theirs.backup_prefix)


def test_a_hyphen_that_moves_makes_another_name() -> None:
    assert names("a-b", "cccccccc").namespace != names("a", "bccccccc").namespace


@pytest.mark.parametrize("namespace", ["default", "t-acme", "t-acme-short", "x-acme-abcd2345", "t--abcd2345"])
def test_a_foreign_namespace_is_no_tenants(namespace: str) -> None:
    assert tenant_of_namespace(namespace) is None


def test_an_incarnation_is_stable_and_takes_any_uid() -> None:
    uid = "0e4d5a9a-62d1-4b6a-9d3e-8d7e3c6f2a11"
    assert incarnation_of(uid) == incarnation_of(uid)
    assert re.fullmatch(r"[a-z2-7]{8}", incarnation_of(uid))
    assert incarnation_of(uid) != incarnation_of(uid + "x")


@pytest.mark.parametrize(("name", "incarnation"), [("A", "abcd2345"), ("a" * 31, "abcd2345"), ("a", "abc")])
def test_a_name_that_breaks_the_rules_is_refused(name: str, incarnation: str) -> None:
    with pytest.raises(ValueError, match=r"is not"):
        names(name, incarnation)
