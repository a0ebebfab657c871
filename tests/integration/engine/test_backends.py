"""The Pulumi CLI with state elsewhere: in an S3-compatible store, and with secrets under a passphrase."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenantry.engine import Program, Stack
from tenantry.engine.choosing import EngineKind, make_engine
from tenantry.engine.storage import StackFiles
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput, StateCorrupt, Unsupported
from tests.integration.backup.conftest import free_port
from tests.s3 import Login, s3_store

pytestmark = pytest.mark.pulumi_cli
BUCKET = "state"


def shop(stack: Stack, **arguments: object) -> Program:
    file = str(stack.backend / "sign.txt")
    return Program(
        entry="tests.integration.engine.shop:main",
        arguments={"namespace": stack.name, "file": file, "count": 1, **arguments},
    )


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The folder behind a bucket, to which PULUMI_BACKEND_URL leads."""
    port, login = free_port(), Login(access="state", secret="only for this test")
    for name, value in (
        ("AWS_ACCESS_KEY_ID", login.access),
        ("AWS_SECRET_ACCESS_KEY", login.secret),
        ("AWS_REGION", "us-east-1"),
        ("PULUMI_BACKEND_URL", f"s3://{BUCKET}?endpoint=http://127.0.0.1:{port}&s3ForcePathStyle=true"),
    ):
        monkeypatch.setenv(name, value)
    with s3_store(tmp_path / "gateway", BUCKET, port=port, login=login) as folder:
        yield folder


@pytest.mark.usefixtures("prepared")
def test_a_stack_lives_in_a_bucket(stack: Stack, bucket: Path) -> None:
    with make_engine(EngineKind.CLI) as cli:
        assert cli.up(stack, shop(stack)).changes
        assert not StackFiles(stack).checkpoint.exists()
        state = bucket / ".pulumi" / "stacks" / stack.project / f"{stack.name}.json"
        assert state.exists()
        assert cli.preview(stack, shop(stack)).changes == ()

        verification = cli.verify(stack)
        assert (verification.findings, verification.compared) == ((), 6)
        assert [one.kind for one in cli.history(stack)] == ["update"]
        taken = json.loads(json.dumps(cli.export(stack)))
        cli.up(stack, shop(stack, text="closed"))
        kept = cli.import_state(stack, taken, source="file.json")
        assert kept is not None
        assert json.loads(kept.read_bytes())["deployment"]["resources"]
        taken["deployment"]["resources"].reverse()
        with pytest.raises(StateCorrupt):
            cli.import_state(stack, taken, source="file.json")
        assert cli.recover(stack).counts
        with pytest.raises(Unsupported, match="only broken by the Pulumi CLI"):
            cli.recover(stack, lock="x")
        cli.destroy(stack)
        cli.remove(stack)
        assert not state.exists()


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_away_or_denies_is_said(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    url = os.environ["PULUMI_BACKEND_URL"]
    with make_engine(EngineKind.CLI) as cli:
        for name, value in (
            ("PULUMI_BACKEND_URL", url.replace(BUCKET, "absent", 1)),
            ("AWS_SECRET_ACCESS_KEY", "a wrong one"),
        ):
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                with pytest.raises(DependencyUnavailable, match="backend cannot be used") as caught:
                    cli.preview(stack, shop(stack))
                assert str(caught.value.where).startswith("s3://")
                assert "pulumi login" in str(caught.value.hint)
                assert "a wrong one" not in f"{caught.value} {caught.value.hint}"


def test_pulumi_cloud_without_a_login_is_said(stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "https://127.0.0.1:1")
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "pul-none")
    with make_engine(EngineKind.CLI) as cli, pytest.raises(DependencyUnavailable) as caught:
        cli.preview(stack, shop(stack))
    assert "https://127.0.0.1:1" in str(caught.value.where)


def test_secrets_under_a_passphrase_are_opened_by_both_engines(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    stack = replace(stack, secrets_provider="passphrase")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "only for this test")
    with make_engine(EngineKind.CLI) as cli, make_engine(EngineKind.EMBEDDED) as embedded:
        cli.up(stack, shop(stack))
        assert embedded.preview(stack, shop(stack)).changes == ()
        assert dict(embedded.outputs(stack))["password"].get_secret_value() == "correct horse battery staple"
        embedded.up(stack, shop(stack, text="closed"))
        assert cli.preview(stack, shop(stack, text="closed")).changes == ()
        assert embedded.verify(stack).findings == ()
        before = StackFiles(stack).checkpoint.read_bytes()
        monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "a wrong one")
        for engine in (cli, embedded):
            with pytest.raises(InvalidInput, match="not the one"):
                engine.up(stack, shop(stack))
        assert StackFiles(stack).checkpoint.read_bytes() == before
        monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "only for this test")
        cli.destroy(stack)
        cli.remove(stack)


def test_a_cli_of_an_unknown_version_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "pulumi"
    for version in ("v2.10.0", "v4.0.0", "nonsense"):
        fake.write_text(f"#!/bin/sh\necho {version}\n")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        with pytest.raises(Unsupported, match="version that is not known") as caught:
            make_engine(EngineKind.CLI)
        assert caught.value.where == str(fake)
        assert "engine install" in str(caught.value.hint)


def test_a_plugin_that_is_missing_is_said_before_anything_runs(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = shutil.which("pulumi")
    assert command is not None
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert subprocess.run([command, "version"], check=False).returncode == 0
    with (
        make_engine(EngineKind.CLI) as cli,
        pytest.raises(DependencyUnavailable, match="plugin for kubernetes") as caught,
    ):
        cli.up(stack, shop(stack))
    assert "pulumi plugin install resource kubernetes" in str(caught.value.hint)
    assert not StackFiles(stack).checkpoint.exists()
