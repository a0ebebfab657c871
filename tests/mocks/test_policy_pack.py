"""The pack as the Pulumi CLI runs it: the real server of pulumi-policy in a process of its own, asked by gRPC; and,
where the CLI is on PATH, by the CLI itself. The rules' words are the same as in the embedded engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from tenantry_policies.judging import judge
from tenantry_policies.rule import ResourceRule
from tenantry_policies.rules import RULES
from tenantry_policies.view import Resource
from tests.unit.policies.cases import CASES, GONE, Case
from tests.unit.policies.sound import STACKS, stack

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {rule.name: rule for rule in RULES}
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the CLI's preview has in place of a value that AWS decides."""


@pytest.fixture(scope="module")
def pack() -> Iterator[analyzer_pb2_grpc.AnalyzerStub]:
    """Started as pulumi-language-python starts it."""
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", "."]
    with subprocess.Popen(command, cwd=ROOT / "policies", stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=60)
                yield analyzer_pb2_grpc.AnalyzerStub(channel)
        finally:
            server.terminate()


def struct(inputs: object) -> struct_pb2.Struct:
    return json_format.ParseDict(inputs, struct_pb2.Struct())


def analyze(pack: analyzer_pb2_grpc.AnalyzerStub, one: Resource) -> Iterable[tuple[str, str]]:
    request = analyzer_pb2.AnalyzeRequest(
        type=one.type,
        properties=struct(one.inputs),
        urn=one.urn,
        name=one.name,
        options=analyzer_pb2.AnalyzerResourceOptions(protect=one.protect),
    )
    return [(found.policyName, found.message) for found in pack.Analyze(request, timeout=60).diagnostics]


def analyze_stack(pack: analyzer_pb2_grpc.AnalyzerStub, resources: Iterable[Resource]) -> Iterable[tuple[str, str]]:
    request = analyzer_pb2.AnalyzeStackRequest(
        resources=[
            analyzer_pb2.AnalyzerResource(
                type=one.type,
                properties=struct(one.inputs),
                urn=one.urn,
                name=one.name,
                options=analyzer_pb2.AnalyzerResourceOptions(protect=one.protect),
            )
            for one in resources
        ]
    )
    return [(found.policyName, found.message) for found in pack.AnalyzeStack(request, timeout=60).diagnostics]


def said(message: str) -> str:
    """pulumi-policy puts the rule's description before what the rule says."""
    return message.rpartition("\n")[2]


def test_the_pack_offers_every_rule_at_its_level(pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    from google.protobuf import empty_pb2

    info = pack.GetAnalyzerInfo(empty_pb2.Empty(), timeout=60)
    levels = {
        analyzer_pb2.MANDATORY: "mandatory",
        analyzer_pb2.ADVISORY: "advisory",
        analyzer_pb2.REMEDIATE: "remediating",
    }
    offered = {policy.name: levels[policy.enforcementLevel] for policy in info.policies}
    assert offered == {rule.name: rule.level.value for rule in RULES}


@pytest.mark.parametrize("name", STACKS)
def test_a_sound_stack_passes(name: str, pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    resources = list(stack(name).values())
    assert [found for one in resources for found in analyze(pack, one)] == []
    assert analyze_stack(pack, resources) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.at}")
def test_a_violation_is_refused_in_the_same_words(case: Case, pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    rule = BY_NAME[case.rule]
    resources = case.resources()
    judgement = judge(resources)
    expected = {one.message for one in (*judgement.refused, *judgement.advised) if one.rule == case.rule}
    if isinstance(rule, ResourceRule):
        found = [one for resource in resources if resource.title == case.title for one in analyze(pack, resource)]
    else:
        found = list(analyze_stack(pack, resources))
    assert {said(message) for name, message in found if name == case.rule} == expected


def test_what_was_left_out_is_filled_in(pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    at = "tenant Deployment/web spec.template.spec.automountServiceAccountToken"
    (loose,) = [
        one
        for one in Case(rule="kubernetes-token-in-tenant", at=at, value=GONE).resources()
        if one.title == "Deployment web"
    ]
    request = analyzer_pb2.AnalyzeRequest(
        type=loose.type, properties=struct(loose.inputs), urn=loose.urn, name=loose.name
    )
    (remediation,) = pack.Remediate(request, timeout=60).remediations
    assert remediation.policyName == "kubernetes-token-in-tenant"
    assert remediation.diagnostic == ""
    assert remediation.properties == struct(stack("tenant")["Deployment/web"].inputs)


def test_a_value_that_only_aws_knows_is_judged_when_it_is_there(pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    database = stack("cloud")["Instance/database"]
    database.inputs["kmsKeyId"] = UNKNOWN  # type: ignore[index]
    assert analyze(pack, database) == []


@pytest.mark.pulumi_cli
@pytest.mark.skipif(shutil.which("pulumi") is None, reason="the pulumi command is not on PATH")
def test_the_pulumi_cli_refuses_in_the_same_words(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text(
        f"name: tenantry\nruntime: {{name: python, options: {{virtualenv: {sys.prefix}}}}}\n", encoding="utf-8"
    )
    program = """
        from tenantry_components.providers.openbao_cell import Mount, Policy

        Policy("wide", policy="wide", text='path "kv/data/*" {\\n capabilities = ["read"]\\n}', kubernetes_mount="k")
        Mount("kv", mount="kv", kind="kv")
    """
    (tmp_path / "__main__.py").write_text(textwrap.dedent(program), encoding="utf-8")
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "only for this test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }

    def pulumi(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--stack", "wide"],
            cwd=tmp_path,
            env=environment,
            text=True,
            capture_output=True,
            timeout=240,
            check=False,
        )

    assert pulumi("stack", "init").returncode == 0
    preview = pulumi("preview", "--policy-pack", str(ROOT / "policies"))
    assert preview.returncode != 0
    for sentence in (
        (
            'the path "kv/data/*" is everybody\'s; name at least the folder and the beginning of the name '
            "(why: docs/policies.md#wildcard-openbao-policy)"
        ),
        (
            "it holds data that a `destroy` would delete; set the options protect and retain_on_delete "
            "(why: docs/policies.md#unprotected-data)"
        ),
    ):
        assert sentence in preview.stdout, preview.stdout + preview.stderr
