"""A file with mistakes of its own is judged as far as it goes: one report, and nothing said that is not so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.manifest import load_draft, load_tenant, parse_draft, parse_tenant
from tenantry.tenancy.resolving import resolve

HEAD = "apiVersion: tenantry.dev/v1alpha1\nkind: Tenant\n"
GOOD = HEAD + "metadata: {name: acme}\nspec:\n  displayName: Acme\n  owner: ops@acme.example\n  plan: growth\n"
EXAMPLES = sorted((Catalogue.root() / "examples").glob("*.yaml"))


Told = Callable[[str], list[tuple[str, int | None]]]


@pytest.fixture
def told(catalogue: Catalogue, cell: Cell) -> Told:
    def run(text: str) -> list[tuple[str, int | None]]:
        """Field and line of everything that is wrong with a file."""
        with pytest.raises(InvalidInput) as caught:
            resolve(
                parse_draft(text, source="tenant.yaml"),
                catalogue=catalogue,
                cell=cell,
                incarnation="abcd2345",
                today=date(2026, 11, 24),
            )
        assert caught.value.source == "tenant.yaml"
        return [(one.path, one.line) for one in caught.value.problems]

    return run


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_good_file_is_no_draft(path: Path) -> None:
    assert load_draft(path) == load_tenant(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            GOOD.replace("growth", "platinum") + "  colour: blue\n",
            [("spec.plan", 7), ("spec.colour", 8)],
            id="an unknown field and an unknown plan",
        ),
        pytest.param(
            GOOD + "  modules:\n    web: {memory: 512MB, replicas: {min: 1, max: 60}}\n    wbe: {enabled: true}\n",
            [("spec.modules.web.memory", 9), ("spec.modules.web.replicas", 9), ("spec.modules.wbe", 10)],
            id="a wrong unit, a bound of the plan and an unknown module",
        ),
        pytest.param(
            GOOD.replace("name: acme", "name: Acme_1") + "  limits: {contacts: 999999999}\n",
            [("metadata.name", 3), ("spec.limits.contacts", 8)],
            id="a name that is none and a limit over the plan",
        ),
        pytest.param(
            HEAD + "spec:\n  owner: nobody\n  plan: growth\n  graceDays: 1\n",
            [("metadata", 1), ("spec.displayName", 3), ("spec.owner", 4), ("spec.graceDays", 6)],
            id="what is required is missing and the grace is too short",
        ),
        pytest.param(
            GOOD + "  hosts: [NOT A HOST, kubernetes.default.svc]\n"
            "  integrations:\n    - {name: shop, kind: ecommerce}\n"
            "    - {name: crm, kind: crm, host: 169.254.169.254}\n",
            [
                ("spec.hosts[0]", 8),
                ("spec.hosts[1]", 8),
                ("spec.integrations[0].host", 10),
                ("spec.integrations[1].host", 11),
            ],
            id="elements of a list keep their places when one before them is at fault",
        ),
        pytest.param(
            GOOD + "  placement: {cell: elsewhere, region: 7}\n  expiresOn: 2030-01-01\n",
            [("spec.placement.region", 8), ("spec.placement.cell", 8), ("spec.expiresOn", 9)],
            id="a neighbour in the same mapping, and the environment",
        ),
    ],
)
def test_mistakes_of_the_text_and_of_what_it_asks_for_are_told_together(
    told: Told, text: str, expected: list[tuple[str, int | None]]
) -> None:
    assert sorted(told(text), key=str) == sorted(expected, key=str)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            GOOD + "  environment: tset\n  expiresOn: 2030-01-01\n  backup: {enabled: false}\n",
            [("spec.environment", 8)],
            id="what the environment allows, of an unknown one",
        ),
        pytest.param(
            GOOD.replace("growth", "7") + "  modules: {web: {replicas: {min: 1, max: 60}}}\n",
            [("spec.plan", 7)],
            id="what the plan allows, of an unknown one",
        ),
        pytest.param(
            GOOD + "  workload: 7\n  modules: {visits: {enabled: true}}\n",
            [("spec.workload", 8)],
            id="modules of an unknown workload",
        ),
        pytest.param(
            GOOD + "  scaling: {calendar: [{name: sale, start: 0 8 * * FRI, end: 0 8 * * SUN,"
            " modules: {web: {least: two}}}]}\n",
            [("spec.scaling.calendar[0].modules.web.least", 8)],
            id="that nothing is left where the only thing was at fault",
        ),
        pytest.param(
            GOOD + "  modules: {web: {replicas: {min: one, max: 2}}}\n",
            [("spec.modules.web.replicas.min", 8)],
            id="that half of a pair is missing",
        ),
    ],
)
def test_what_only_follows_from_a_mistake_is_not_told(
    told: Told, text: str, expected: list[tuple[str, int | None]]
) -> None:
    assert told(text) == expected


@pytest.mark.parametrize("text", ["spec: [", "[1, 2]", HEAD + "spec: 7\n", HEAD, "a: 1\na: 2\n"])
def test_a_file_without_a_spec_is_refused_as_ever(text: str) -> None:
    with pytest.raises(InvalidInput) as strict:
        parse_tenant(text)
    with pytest.raises(InvalidInput) as lenient:
        parse_draft(text)
    assert lenient.value.problems == strict.value.problems
    assert lenient.value.message == strict.value.message


def test_nothing_is_lost_against_a_reading_that_stops_at_the_text(told: Told) -> None:
    text = GOOD.replace("displayName: Acme", "displayName: 7") + "  graceDays: soon\n  hosts: [x]\n  suspended: maybe\n"
    with pytest.raises(InvalidInput) as strict:
        parse_tenant(text)
    assert set(told(text)) >= {(one.path, one.line) for one in strict.value.problems}
