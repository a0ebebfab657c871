"""Plain `pulumi` from a clone, as docs/pulumi.md says it: no command of ours in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from stacks.pins import pins_of
from tenantry.engine import EmbeddedEngine, Stack
from tenantry.engine.sealing import delete_key
from tenantry.engine.storage import StackFiles
from tenantry.fleet import Fleet
from tenantry.fleet.programs import tenant_program
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_tenant
from tenantry.tenancy.resolving import resolve
from tenantry.tenancy.spec import TenantSpec
from tests.integration.clone import LIMIT_S, PACK, Clone
from tests.integration.takeover.test_matrix import EXAMPLES, tenant
from tests.mocks.mistaken import CELL_MISTAKES, COMPONENT_MISTAKES, EXAMPLE, Mistake, anonymous, mistaken

pytestmark = pytest.mark.pulumi_cli
TEST_TENANT = Catalogue.root() / "examples" / "acme-coffee-test.yaml"

NO_DRY_RUN = Mistake("", "cluster_provider", '"enableServerSideApply": "true"', '"enableServerSideApply": "false"')
"""The API server has rules of its own (policies/admission), by which the preview would end at the namespace."""


@pytest.fixture
def clone(fleet: Fleet, tmp_path: Path) -> Clone:
    """The fleet's fixture sets the variables that lead to the cell."""
    return Clone.at(tmp_path)


def spec_of(fleet: Fleet, file: Path, settings: Path) -> TenantSpec:
    """What the program of a clone makes of the file, with what the first run wrote into the stack's settings."""
    pins = pins_of(settings)
    return resolve(
        load_tenant(file),
        catalogue=fleet.catalogue,
        cell=fleet.cell,
        incarnation=pins.incarnation,
        managed_by="pulumi",
        today=datetime.now(UTC).date(),
        pinned_release=pins.release,
        pinned_template_version=pins.template_version,
    )


@pytest.mark.timeout(1800)
def test_a_tenant_lives_by_plain_pulumi_and_the_embedded_engine_goes_on_with_it(
    clone: Clone, fleet: Fleet, tmp_path: Path
) -> None:
    """up with the policy pack · nothing to change, for either engine · changed and destroyed by plain pulumi."""
    name, file = f"clone-{uuid4().hex[:6]}", tmp_path / "tenant.yaml"
    text = TEST_TENANT.read_text(encoding="utf-8").replace("acme-coffee-test", name)
    file.write_text(text, encoding="utf-8")
    clone.stack(name, stack="tenant", tenant=str(file))
    on = ("--stack", name)
    clone.must("up", "--yes", *on, *PACK)
    clone.must("preview", "--expect-no-changes", *on, *PACK)

    key = f"hashivault://state-{name}"
    stack = Stack(project="tenantry", name=name, backend=clone.state, secrets_provider=key)
    with EmbeddedEngine() as embedded:
        program = tenant_program(spec_of(fleet, file, clone.settings(name)))
        assert embedded.preview(stack, program).changes == ()
        assert embedded.verify(stack).findings == ()

    file.write_text(text.replace("displayName: Acme", "displayName: New Acme"), encoding="utf-8")
    assert clone.pulumi("preview", "--expect-no-changes", *on).returncode != 0
    clone.must("up", "--yes", *on)
    with EmbeddedEngine() as embedded:
        program = tenant_program(spec_of(fleet, file, clone.settings(name)))
        assert embedded.preview(stack, program).changes == ()
    clone.must("destroy", "--yes", *on)
    clone.must("stack", "rm", "--yes", name)
    delete_key(key)


@pytest.mark.parametrize("example", EXAMPLES)
def test_plain_pulumi_has_nothing_to_change_in_what_tenantry_made(clone: Clone, fleet: Fleet, example: str) -> None:
    """As docs/take-over.md tells it: the state's folder, the stack's settings, and the tenant file."""
    stack, program = tenant(fleet, example)
    with EmbeddedEngine() as embedded:
        embedded.up(stack, program)
        clone = replace(clone, state=fleet.backend)
        shutil.copy(StackFiles(stack).settings, clone.folder)
        clone.configure(stack.name, stack="tenant", tenant=str(Catalogue.root() / "examples" / f"{example}.yaml"))
        clone.must("preview", "--expect-no-changes", "--stack", stack.name)
        embedded.destroy(stack, lift_protection=True)
        embedded.remove(stack)


@pytest.mark.parametrize(
    ("mistakes", "config"),
    [
        pytest.param(COMPONENT_MISTAKES, {"stack": "tenant", "tenant": str(EXAMPLE)}, id="a tenant's"),
        pytest.param(CELL_MISTAKES, {"stack": "cell"}, id="a cell's"),
    ],
)
def test_a_components_mistake_for_every_rule_is_refused_by_plain_pulumi_in_the_words_of_the_other_ways(
    mistakes: Sequence[Mistake], config: Mapping[str, str], clone: Clone, tmp_path: Path
) -> None:
    name = f"wrong-{uuid4().hex[:6]}"
    clone.stack(name, **config)
    wrong = mistaken(tmp_path / "components", *mistakes, NO_DRY_RUN)
    shown = clone.pulumi("preview", "--stack", name, *PACK, **wrong)
    assert shown.returncode != 0

    file = config.get("tenant", os.environ["TENANTRY_CELL"])
    done = subprocess.run(
        [str(Path(sys.prefix) / "bin" / "tenantry"), "policy", "check", file, "--json"],
        env={**os.environ, **wrong},
        text=True,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    found = json.loads(done.stdout)
    (checked,) = (*found["tenants"], *found["cells"])
    refused = {(one["rule"], anonymous(one["message"])) for one in checked["refused"]}
    assert {rule for rule, _ in refused} == {one.rule for one in mistakes}
    text = anonymous(shown.stdout)
    assert {(rule, message) for rule, message in refused if message not in text} == set()
