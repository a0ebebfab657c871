"""The agent's configuration, before the real program: `bao agent` refuses what it cannot read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tenantry.tenancy.spec import TenantSpec
from tenantry_components.agent import agent_settings, configuration_manifest
from tenantry_components.trust import workload_files

BAO = Path(sys.executable).with_name("bao")


@pytest.mark.parametrize("proxy_port", [None, 8100], ids=["renders only", "answers on loopback too"])
def test_bao_agent_takes_the_configuration(spec: TenantSpec, proxy_port: int | None, tmp_path: Path) -> None:
    """Without a token it cannot log in, and says so: then it has read everything."""
    cell = spec.cell.spec.model_copy(update={"ca_bundle": ""})
    config = json.loads(agent_settings(cell, workload_files(spec), proxy_port=proxy_port))
    config["vault"]["address"] = "https://127.0.0.1:1"
    if proxy_port is not None:
        config["listener"][0]["tcp"]["address"] = "127.0.0.1:0"
    path = tmp_path / "agent.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    with subprocess.Popen(
        [str(BAO), "agent", f"-config={path}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said = ""
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if "error authenticating" in line or "error creating" in line or "no such file" in line:
                break
        process.kill()
    assert "error loading configuration" not in said
    assert "starting auth handler" in said, said


def test_the_agents_files_name_secrets_and_hold_none(spec: TenantSpec) -> None:
    data = configuration_manifest(spec, "workload", workload_files(spec))["data"]
    templates = [text for name, text in data.items() if name.startswith("template-")]
    assert len(templates) == len(workload_files(spec))
    assert all("with secret" in text for text in templates)
    assert "token_path" in data["agent.json"]
