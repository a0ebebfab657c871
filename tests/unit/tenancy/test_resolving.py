"""From file to spec: everything decided, every rule held, nothing decided anew by itself."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
import re
from datetime import date

import pytest

from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.manifest import load_tenant
from tenantry.tenancy.quota import connections_needed
from tenantry.tenancy.resolving import fingerprint, resolve
from tenantry.tenancy.spec import DatabaseTier, DeletionPolicy, MessagingKind, TenantSpec
from tests.unit.conftest import Resolve

EXAMPLES = sorted((Catalogue.root() / "examples").glob("*.yaml"))
LATER = date(2028, 1, 1)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_accepted(path: object, catalogue: Catalogue, cell: Cell) -> None:
    spec = resolve(load_tenant(path), catalogue=catalogue, cell=cell, incarnation="abcd2345", today=LATER)
    assert spec.workload.modules
    without_scripts = dataclasses.replace(spec, workload=dataclasses.replace(spec.workload, scripts=()))
    assert "${" not in repr(without_scripts)


@pytest.mark.parametrize(
    ("plan", "environment", "workload"),
    list(
        itertools.product(("starter", "growth", "enterprise"), ("production", "staging", "test"), ("mautic", "shlink"))
    ),
)
def test_every_plan_holds_every_workload_in_every_environment(
    resolve_text: Resolve, plan: str, environment: str, workload: str
) -> None:
    spec = resolve_text(f"environment: {environment}", f"workload: {workload}", plan=plan)
    assert connections_needed(spec.workload.modules) <= spec.database.connections


@pytest.mark.parametrize("plan", ["starter", "growth", "enterprise"])
def test_the_largest_allowed_replicas_of_any_one_module_fit_the_plan(
    resolve_text: Resolve, catalogue: Catalogue, plan: str
) -> None:
    size = catalogue.plans[plan].spec.size
    for module in catalogue.workloads["mautic"][1].workload.spec.modules:
        most = module.sizes[size].bounds.replicas
        if most > 1:
            override = f"modules: {{{module.name}: {{replicas: {{min: 1, max: {most}}}}}}}"
            spec = resolve_text(override, plan=plan)
            assert max(one.replicas_max for one in spec.workload.modules if one.name == module.name) == most


@pytest.mark.parametrize(
    ("lines", "path", "line", "message"),
    [
        pytest.param(["modules: {wbe: {enabled: true}}"], "spec.modules.wbe", 8, "no module wbe", id="unknown module"),
        pytest.param(
            ["modules: {web: {enabled: false}}"],
            "spec.modules.web.enabled",
            8,
            "cannot be switched off",
            id="vital module",
        ),
        pytest.param(
            ["modules: {web: {replicas: {min: 1, max: 7}}}"],
            "spec.modules.web.replicas",
            8,
            "plan growth allows module web at most 6 replicas",
            id="over the module's bounds",
        ),
        pytest.param(
            ["modules: {web: {memory: 3Gi}}"],
            "spec.modules.web.memory",
            8,
            "plan growth allows module web at most 2Gi memory",
            id="memory over the bounds",
        ),
        pytest.param(
            ["modules: {segmenter: {replicas: {min: 1, max: 1}}}"],
            "spec.modules.segmenter.replicas",
            8,
            "has no replicas to set",
            id="replicas of a schedule",
        ),
        pytest.param(["workload: mautik"], "spec.workload", 8, "no workload mautik", id="unknown workload"),
        pytest.param(["release: '1.0'"], "spec.release", 8, "no release 1.0", id="unknown release"),
        pytest.param(
            ["templateVersion: 99"], "spec.templateVersion", 8, "no template version 99", id="unknown version"
        ),
        pytest.param(
            ["environment: test", "expiresOn: 2026-11-24"], "spec.expiresOn", 9, "has passed", id="expires today"
        ),
        pytest.param(["expiresOn: 2030-01-01"], "spec.expiresOn", 8, "does not expire", id="production that expires"),
        pytest.param(
            ["deletionPolicy: delete"], "spec.deletionPolicy", 8, "does not allow delete", id="delete at once"
        ),
        pytest.param(["graceDays: 1"], "spec.graceDays", 8, "at least 7 days", id="too little grace"),
        pytest.param(["backup: {enabled: false}"], "spec.backup.enabled", 8, "always backed up", id="no backup"),
        pytest.param(["hosts: [a.example, a.example]"], "spec.hosts[1]", 8, "stands here twice", id="host twice"),
        pytest.param(
            ["hosts: [other.tenants.example.com]"], "spec.hosts[0]", 8, "only acme.tenants", id="a neighbour's host"
        ),
        pytest.param(
            ["placement: {residency: us}"], "spec.placement.residency", 8, "does not keep data in us", id="residency"
        ),
        pytest.param(["placement: {region: mars}"], "spec.placement.region", 8, "not mars", id="region"),
        pytest.param(["placement: {cell: other}"], "spec.placement.cell", 8, "belongs to cell other", id="cell"),
        pytest.param(
            ["database: {tier: rds}"], "spec.database.tier", 8, "plan growth has no rds database", id="tier not sold"
        ),
        pytest.param(
            ["environment: test", "database: {tier: dedicated}"],
            "spec.database.tier",
            9,
            "environment test has no dedicated database",
            id="tier not in this environment",
        ),
        pytest.param(["limits: {contacts: 250001}"], "spec.limits.contacts", 8, "1 fewer than asked", id="limit"),
        pytest.param(["retention: {days: 2000}"], "spec.retention.days", 8, "at most 1825 days", id="retention"),
        pytest.param(
            ["integrations:", "- {name: crm, kind: crm, host: 169.254.169.254}"],
            "spec.integrations[0].host",
            9,
            "metadata service",
            id="metadata service",
        ),
        pytest.param(
            [
                "integrations:",
                "- {name: a, kind: crm, host: a.example.org}",
                "- {name: a, kind: erp, host: b.example.org}",
            ],
            "spec.integrations[1].name",
            10,
            "stands here twice",
            id="integration twice",
        ),
        pytest.param(
            ["integrations:", "- {name: a, kind: crm, host: a.example.org, credentials: ../other/app}"],
            "spec.integrations[0].credentials",
            9,
            "is not a path below",
            id="credentials of a neighbour",
        ),
        pytest.param(
            ["integrations:", "- {name: a, kind: crm, host: a.example.org, credentials: app}"],
            "spec.integrations[0].credentials",
            9,
            "its own secrets",
            id="credentials of the application",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused_at_its_line(
    resolve_text: Resolve, lines: list[str], path: str, line: int, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_text(*lines)
    (problem,) = caught.value.problems
    assert (problem.path, problem.line) == (path, line)
    assert message in problem.message
    assert problem.hint


def test_an_unknown_plan_is_answered_with_the_plans(resolve_text: Resolve) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_text(plan="platinum")
    assert caught.value.problems[0].hint == "plans: enterprise, growth, starter"


def test_a_bound_names_the_plan_that_would_allow_it(resolve_text: Resolve) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_text("modules: {web: {replicas: {min: 1, max: 15}}}")
    assert caught.value.problems[0].hint == "plan enterprise allows it"


def test_over_quota_says_by_how_much_and_which_override(resolve_text: Resolve) -> None:
    greedy = ("web", "scoring", "messaging-email")
    lines = [f"  {name}: {{replicas: {{min: 1, max: 2}}, cpu: 500m, memory: 1Gi}}" for name in greedy]
    with pytest.raises(InvalidInput) as caught:
        resolve_text(
            "modules:",
            *lines,
            "  api-integrators: {memory: 1Gi, cpu: 500m}",
            "  rule-engine: {memory: 1Gi}",
            plan="starter",
        )
    over = [one for one in caught.value.problems if "database connections" not in one.message]
    assert over
    for problem in over:
        assert re.search(r"needs \S+ (CPU|memory) at its peak, \S+ more than plan starter has \(\S+\)", problem.message)
        assert problem.path.startswith("spec.modules.")


def test_every_problem_is_reported_at_once(resolve_text: Resolve) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_text("graceDays: 1", "release: nope", "limits: {contacts: 999999999}", "hosts: [x.svc]")
    assert [one.line for one in caught.value.problems] == [8, 9, 10, 11]


def test_a_host_of_another_tenant_is_refused_and_the_own_is_not(resolve_text: Resolve) -> None:
    line = "hosts: [mail.acme.example]"
    assert resolve_text(line, taken_hosts={"mail.acme.example": "acme"}).hosts == ("mail.acme.example",)
    with pytest.raises(InvalidInput, match="cannot be accepted") as caught:
        resolve_text(line, taken_hosts={"mail.acme.example": "globex"})
    assert "belongs to tenant globex" in caught.value.problems[0].message


def test_without_hosts_the_cell_gives_one(resolve_text: Resolve) -> None:
    assert resolve_text().hosts == ("acme.tenants.example.com",)


def test_release_and_template_version_stay_as_pinned_until_the_file_names_others(resolve_text: Resolve) -> None:
    newest = resolve_text().workload.release
    assert resolve_text(pinned_release="6.0.7", pinned_template_version=1).workload.release == "6.0.7" != newest
    assert resolve_text(f"release: '{newest}'", pinned_release="6.0.7").workload.release == newest


def test_plans_differ_where_they_should(resolve_text: Resolve) -> None:
    starter, growth, enterprise = (resolve_text(plan=name) for name in ("starter", "growth", "enterprise"))
    assert (starter.messaging.kind, starter.cache.dedicated) == (MessagingKind.DATABASE, False)
    assert (growth.messaging.kind, growth.cache.dedicated) == (MessagingKind.RABBITMQ, True)
    assert [one.database.tier for one in (starter, growth, enterprise)] == [
        DatabaseTier.SHARED,
        DatabaseTier.SHARED,
        DatabaseTier.DEDICATED,
    ]
    assert starter.quota.memory_limit_mib < growth.quota.memory_limit_mib < enterprise.quota.memory_limit_mib


def test_a_test_environment_is_small_and_may_be_deleted_at_once(resolve_text: Resolve) -> None:
    spec = resolve_text("environment: test", plan="enterprise")
    assert {one.replicas_max for one in spec.workload.modules} == {1}
    assert spec.deletion_policy is DeletionPolicy.DELETE
    assert spec.database.tier is DatabaseTier.SHARED


def test_a_volume_is_shared_only_where_several_pods_mount_it(resolve_text: Resolve) -> None:
    assert {one.name: one.shared for one in resolve_text().workload.storage}["files"] is True
    assert resolve_text("workload: shlink").workload.storage == ()


def test_an_image_is_pinned_and_follows_the_cells_registry(resolve_text: Resolve, cell: Cell) -> None:
    images = cell.spec.images.model_copy(update={"registry": "registry.example.com/mirror"})
    mirrored = cell.model_copy(update={"spec": cell.spec.model_copy(update={"images": images})})
    image = resolve_text(cell=mirrored).workload.image
    assert image.startswith("registry.example.com/mirror/mautic/mautic:")
    assert images.located(image) == image


def test_resolving_is_pure_and_its_fingerprint_stable(resolve_text: Resolve) -> None:
    first, second = resolve_text(), resolve_text()
    assert first == second
    assert fingerprint(first) == fingerprint(second) == fingerprint(pickle.loads(pickle.dumps(first)))


def _changed(spec: TenantSpec, field: str) -> TenantSpec:
    value = getattr(spec, field)
    if dataclasses.is_dataclass(value):
        other = next(one.name for one in dataclasses.fields(value) if isinstance(getattr(value, one.name), str | int))
        return dataclasses.replace(spec, **{field: dataclasses.replace(value, **{other: "changed"})})
    return dataclasses.replace(spec, **{field: "changed"})


@pytest.mark.parametrize("field", [one.name for one in dataclasses.fields(TenantSpec)])
def test_every_field_counts_in_the_fingerprint(resolve_text: Resolve, field: str) -> None:
    spec = resolve_text()
    assert fingerprint(_changed(spec, field)) != fingerprint(spec)


def test_a_tenant_without_text_is_resolved_as_well(catalogue: Catalogue, cell: Cell) -> None:
    tenant = load_tenant(EXAMPLES[0]).tenant.model_copy(deep=True)
    arguments = {"catalogue": catalogue, "cell": cell, "incarnation": "abcd2345"}
    assert resolve(tenant, **arguments, today=LATER) == resolve(load_tenant(EXAMPLES[0]), **arguments, today=LATER)
    with pytest.raises(InvalidInput) as caught:
        resolve(tenant, **arguments, today=date(2031, 1, 1))
    assert (caught.value.source, caught.value.problems[0].path) == (None, "spec.expiresOn")
