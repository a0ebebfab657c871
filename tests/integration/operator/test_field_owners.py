"""A Tenant that kubectl wrote as well: what a file lacks does not stay behind unsaid."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from tenantry.fleet.tenant_objects import TenantObjects
from tenantry.local import LocalPlatform
from tenantry.tenancy.errors import Conflict
from tenantry.tenancy.manifest import parse_tenant
from tests.integration.operator.conftest import Operated

WITHOUT = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec:
  displayName: Shared
  owner: somebody@example.com
  plan: nothing-is-made
  environment: test
"""
MORE = "  graceDays: 9\n  hosts: [shared.example.org]\n  modules: {{web: {{scale: 1}}}}\n"
WITH = WITHOUT + MORE

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def kubectl(platform: LocalPlatform) -> Kubectl:
    environment = os.environ | platform.environment()
    program = next(
        path for folder in environment["PATH"].split(os.pathsep) if (path := Path(folder) / "kubectl").exists()
    )

    def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(program), *arguments]
        done = subprocess.run(
            command, env=environment, input=text, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def up(objects: TenantObjects, text: str, *, take_over: bool = False) -> dict[str, Any]:
    spec: dict[str, Any] = objects.apply(parse_tenant(text), driver="cli", take_over=take_over)["spec"]
    return spec


def written(spec: dict[str, Any]) -> set[str]:
    """Which of these it says; the API server fills in that it is not suspended."""
    return {one for one in ("graceDays", "hosts", "modules", "suspended") if spec.get(one)}


@pytest.fixture
def name(operated: Operated) -> str:
    return f"x{secrets.token_hex(4)}"


def test_a_field_that_kubectl_holds_is_refused_and_goes_with_take_over(
    operated: Operated, kubectl: Kubectl, name: str
) -> None:
    objects = operated.objects
    kubectl("apply", "--filename=-", text=WITH.format(name=name))
    up(objects, WITH.format(name=name))
    before = objects.require(name)
    with pytest.raises(Conflict) as caught:
        up(objects, WITHOUT.format(name=name))
    for word in ("kubectl-client-side-apply", "spec.graceDays", "spec.hosts", "spec.modules"):
        assert word in caught.value.message
    assert "--take-over" in str(caught.value.hint)
    assert objects.require(name)["metadata"]["generation"] == before["metadata"]["generation"]
    assert written(up(objects, WITHOUT.format(name=name), take_over=True)) == set()
    assert written(up(objects, WITHOUT.format(name=name))) == set()
    # What kubectl does next is kubectl's again, with the object that it remembers.
    kubectl("apply", "--filename=-", text=WITH.format(name=name))
    assert written(objects.require(name)["spec"]) == {"graceDays", "hosts", "modules"}


def test_the_same_file_by_kubectl_and_by_the_command_is_no_conflict(
    operated: Operated, kubectl: Kubectl, name: str
) -> None:
    kubectl("apply", "--filename=-", text=WITH.format(name=name))
    assert written(up(operated.objects, WITH.format(name=name))) == {"graceDays", "hosts", "modules"}
    suspended = WITH.format(name=name) + "  suspended: true\n"
    with pytest.raises(Conflict, match=r"spec\.suspended"):  # which kubectl's object said by its default
        up(operated.objects, suspended)
    assert written(up(operated.objects, suspended, take_over=True)) >= {"suspended"}


def test_kubectl_as_the_same_field_manager_warns_of_nothing_and_shares_all(
    operated: Operated, kubectl: Kubectl, name: str
) -> None:
    up(operated.objects, WITH.format(name=name))
    apply = ("apply", "--server-side", "--field-manager=tenantry", "--filename=-")
    done = kubectl(*apply, text=WITH.format(name=name))
    assert done.stderr == ""
    assert written(up(operated.objects, WITHOUT.format(name=name))) == set()
    up(operated.objects, WITH.format(name=name))
    kubectl(*apply, text=WITHOUT.format(name=name))
    assert written(operated.objects.require(name)["spec"]) == set()


def test_what_a_command_edited_is_undone_by_the_file(operated: Operated, name: str) -> None:
    objects = operated.objects
    up(objects, WITHOUT.format(name=name))
    for attempt in Retrying(retry=retry_if_exception_type(Conflict), stop=stop_after_delay(60), wait=wait_fixed(0.2)):
        with attempt:  # the operator tells its first status meanwhile
            objects.edit(objects.require(name), {"suspended": True, "modules": {"web": {"scale": 1}}})
    assert written(up(objects, WITHOUT.format(name=name))) == set()
