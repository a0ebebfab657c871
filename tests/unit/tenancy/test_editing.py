"""Edits by a command: what changes in a tenant's file, and what is refused."""

from __future__ import annotations

from datetime import date

import pytest

from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.editing import Edit, difference, edited, extending, scaling, suspending
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.spec import Environment

TODAY = date(2026, 11, 26)
MODULES = ("scoring", "web")
TEXT = """\
# Ours.
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec:
  displayName: "Acme"  # as on the bill
  owner: ops@acme.example
  plan: growth
  environment: test
  expiresOn: "2026-12-01"
  modules:
    web: {cpu: 250m, scale: 2}
"""


@pytest.mark.parametrize(
    ("wishes", "patch"),
    [
        pytest.param(["web=3"], {"web": {"scale": 3}}, id="a number"),
        pytest.param(["web=auto"], {"web": {"scale": None}}, id="back to the load"),
        pytest.param(["web=0", "scoring=1"], {"web": {"scale": 0}, "scoring": {"scale": 1}}, id="several"),
    ],
)
def test_scaling(wishes: list[str], patch: Edit) -> None:
    assert scaling(wishes, modules=MODULES) == {"modules": patch}


@pytest.mark.parametrize(
    "wishes",
    [
        pytest.param(["web"], id="no number"),
        pytest.param(["web="], id="an empty one"),
        pytest.param(["web=-1"], id="fewer than none"),
        pytest.param(["web=two"], id="a word"),
        pytest.param(["web=²"], id="a digit that is none"),
        pytest.param(["wbe=2"], id="an unknown module"),
        pytest.param(["web=2", "web=3"], id="a module twice"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(wishes: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        scaling(wishes, modules=MODULES)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("days", "until", "today", "later"),
    [
        pytest.param(30, None, TODAY, "2026-12-31", id="so many days after its day"),
        pytest.param(3, None, date(2026, 12, 5), "2026-12-08", id="after today where its day has passed"),
        pytest.param(30, date(2027, 1, 2), TODAY, "2027-01-02", id="until a day"),
    ],
)
def test_extending(catalogue: Catalogue, days: int, until: date | None, today: date, later: str) -> None:
    tenant = parse_tenant(TEXT).tenant
    found = extending(tenant, catalogue.environments[Environment.TEST], today=today, days=days, until=until)
    assert found == {"expiresOn": later}


@pytest.mark.parametrize(
    ("text", "environment", "until"),
    [
        pytest.param(TEXT, Environment.PRODUCTION, None, id="what does not expire"),
        pytest.param(TEXT.replace('  expiresOn: "2026-12-01"\n', ""), Environment.TEST, None, id="what has no day"),
        pytest.param(TEXT, Environment.TEST, date(2026, 11, 30), id="an earlier day"),
        pytest.param(TEXT, Environment.TEST, date(2026, 12, 1), id="the same day"),
    ],
)
def test_what_cannot_be_extended_is_refused(
    catalogue: Catalogue, text: str, environment: Environment, until: date | None
) -> None:
    with pytest.raises(InvalidInput):
        extending(parse_tenant(text).tenant, catalogue.environments[environment], today=TODAY, days=1, until=until)


@pytest.mark.parametrize(
    ("patch", "old", "new"),
    [
        pytest.param(scaling(["web=3"], modules=MODULES), "scale: 2", "scale: 3", id="a number changes"),
        pytest.param(scaling(["web=auto"], modules=MODULES), ", scale: 2", "", id="a number goes"),
        pytest.param({"expiresOn": "2027-01-01"}, "2026-12-01", "2027-01-01", id="a day changes"),
        pytest.param(suspending(suspended=False), "nothing", "nothing", id="what is not there need not go"),
    ],
)
def test_an_edit_leaves_the_rest_of_the_text_as_it_was(patch: Edit, old: str, new: str) -> None:
    assert edited(TEXT, patch).replace("'", '"') == TEXT.replace(old, new)


def test_an_edit_and_its_undoing_leave_the_tenant_as_it_was() -> None:
    there = edited(TEXT, {**suspending(suspended=True), **scaling(["scoring=2"], modules=MODULES)})
    assert parse_tenant(there).tenant.spec.suspended
    back = edited(there, {**suspending(suspended=False), **scaling(["scoring=auto"], modules=MODULES)})
    assert parse_tenant(back).tenant == parse_tenant(TEXT).tenant


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        pytest.param({"a": 1}, {"a": 1}, {}, id="nothing"),
        pytest.param({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}, id="changed and new"),
        pytest.param({"m": {"web": {"scale": 1}}}, {}, {"m": None}, id="what became empty goes whole"),
        pytest.param({"m": {"x": {"cpu": 1}, "y": {}}}, {"m": {"x": {"cpu": 1}}}, {"m": {"y": None}}, id="inside"),
    ],
)
def test_the_patch_between_two_texts(before: dict[str, object], after: dict[str, object], patch: Edit) -> None:
    assert difference(before, after) == patch
