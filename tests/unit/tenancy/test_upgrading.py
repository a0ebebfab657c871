"""Which release a tenant wants: pinned, asked for once, or what it runs; and whether there is a way to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.model import Tenant
from tenantry.tenancy.release import End, Release, Version
from tenantry.tenancy.upgrading import UPGRADE, check_path, due, standing_failure, wanted

OLD, NEW = Version(release="6.0.7", template_version=1), Version(release="7.1.3", template_version=1)
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def tenant(*lines: str, asks: str = "") -> Tenant:
    text = "\n".join(
        (
            "apiVersion: tenantry.dev/v1alpha1",
            "kind: Tenant",
            f"metadata: {{name: acme, annotations: {{{UPGRADE}: '{asks}'}}}}",
            "spec: {displayName: Acme, owner: ops@acme.example, plan: growth}",
        )
    )
    parsed = parse_tenant(text, source="tenant.yaml").tenant
    pinned = dict(line.split("=") for line in lines)
    return parsed.model_copy(update={"spec": parsed.spec.model_copy(update=pinned)})


@pytest.mark.parametrize(
    ("who", "heeded", "version", "at_once"),
    [
        pytest.param(tenant(), "", OLD, False, id="nothing said: what it runs"),
        pytest.param(tenant("release=7.1.3"), "", NEW, False, id="the file's pin"),
        pytest.param(tenant(asks="7.1.3"), "", NEW, False, id="asked for once"),
        pytest.param(tenant(asks="latest now"), "", NEW, True, id="the newest, at once"),
        pytest.param(tenant(asks="7.1.3 now"), "7.1.3 now", OLD, False, id="a wish that was heeded is none any more"),
        pytest.param(tenant("release=7.1.3", asks="7.1.3 now"), "", NEW, True, id="a pin that is asked for at once"),
    ],
)
def test_what_is_wanted(catalogue: Catalogue, who: Tenant, heeded: str, version: Version, at_once: bool) -> None:
    found = wanted(who, catalogue, OLD, heeded=heeded)
    assert (found.version, found.at_once) == (version, at_once)


@pytest.mark.parametrize(
    ("who", "said"),
    [
        pytest.param(tenant("release=6.0.7", asks="7.1.3"), "pins 6.0.7", id="the annotation against the pin"),
        pytest.param(tenant(asks="7.1.3 template=x"), "template=x", id="a template version that is no number"),
        pytest.param(tenant(asks="latest template=9"), "no template version 9", id="an unknown template version"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(catalogue: Catalogue, who: Tenant, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        wanted(who, catalogue, OLD)


def failed(request: str = "", by: str = "spec") -> Release:
    return Release(
        name="acme", incarnation="abcd2345", namespace="t-acme-abcd2345", before=OLD, after=NEW, by=by, request=request,
        requested_at=NOW, going_back="its migration failed", end=End.ROLLED_BACK, ended_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("who", "last", "begins", "stands"),
    [
        pytest.param(tenant("release=7.1.3"), None, True, False, id="never tried"),
        pytest.param(tenant("release=7.1.3"), failed(), False, True, id="failed: not again by itself"),
        pytest.param(tenant("release=7.1.3", asks="7.1.3 again"), failed(), True, False, id="asked for again"),
        pytest.param(tenant("release=6.0.7"), failed(), False, False, id="pinned to what runs: dismissed"),
        pytest.param(tenant(asks="7.1.3"), failed("7.1.3", "annotation"), False, True, id="asked once, failed"),
        pytest.param(tenant(), failed(by="rollout spring"), False, True, id="a roll-out's failure stands"),
        pytest.param(tenant(asks="6.0.7"), failed(by="rollout spring"), False, False, id="wants what runs: dismissed"),
    ],
)
def test_a_failed_release_is_repeated_only_when_somebody_asks(
    catalogue: Catalogue, who: Tenant, last: Release | None, begins: bool, stands: bool
) -> None:
    want = wanted(who, catalogue, OLD, heeded=last.request if last else "")
    assert due(want, OLD, last) is begins
    assert (standing_failure(want, OLD, last) is not None) is stands


Rename = Callable[..., Catalogue]


@pytest.fixture
def releases(catalogue: Catalogue) -> Rename:
    """The catalogue with other releases of mautic; each (name, releases that it is reached from)."""

    def run(*found: tuple[str, tuple[str, ...]]) -> Catalogue:
        entry = catalogue.workloads["mautic"][1]
        first = entry.workload.spec.releases[0]
        listed = tuple(first.model_copy(update={"name": name, "upgrades_from": from_}) for name, from_ in found)
        spec = entry.workload.spec.model_copy(update={"releases": listed})
        changed = replace(entry, workload=entry.workload.model_copy(update={"spec": spec}))
        return replace(catalogue, workloads={"mautic": {1: changed}})

    return run


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param("1", "2", None, id="one step up"),
        pytest.param("1", "3", "reached from 2", id="a release that must not be skipped"),
        pytest.param("3", "2", "older than 3", id="no way back"),
        pytest.param("1", "9", "no release 9", id="unknown"),
        pytest.param("2", "4", None, id="over one that nobody must stop at"),
    ],
)
def test_the_way_to_a_release(releases: Rename, before: str, after: str, said: str | None) -> None:
    catalogue = releases(("1", ()), ("2", ()), ("3", ("2",)), ("4", ()))
    at = [Version(release=name, template_version=1) for name in (before, after)]
    if said is None:
        check_path("mautic", catalogue, *at)
        return
    with pytest.raises(InvalidInput) as caught:
        check_path("mautic", catalogue, *at)
    assert said in f"{caught.value.message} {caught.value.hint}"
