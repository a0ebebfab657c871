"""No secret in plain text: known secrets are looked for in every place where one could end up."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import psutil
import pytest

from tests.e2e.user import ROOT, User

SKIPPED_SIZE = 64 * 2**20


@pytest.fixture(scope="module")
def secrets(user: User) -> dict[str, str]:
    """Every secret of every tenant, as OpenBao holds it, and the platform's own tokens."""
    found: dict[str, str] = {}
    names = [record["namespace"] for record in user.json("tenant", "list")["tenants"]]
    for namespace in names:
        listed = json.loads(user.shell(f"bao kv list -format=json kv/tenants/{namespace}").stdout)
        for entry in listed:
            data = json.loads(user.shell(f"bao kv get -format=json kv/tenants/{namespace}/{entry}").stdout)["data"][
                "data"
            ]
            found |= {
                f"{namespace}/{entry}/{field}": value
                for field, value in data.items()
                if field not in {"username", "host", "port", "vhost", "prefix", "url"}
            }
        for account in ("a", "b"):
            read = user.shell(f"bao read -format=json database/static-creds/{namespace}-{account}", code=None)
            if read.returncode == 0:
                found[f"{namespace}/database/{account}"] = json.loads(read.stdout)["data"]["password"]
    found["admin token"] = user.json("local", "env")["VAULT_TOKEN"]
    return {name: value for name, value in found.items() if len(str(value)) >= 12}


def _spellings(secret: str) -> list[bytes]:
    return [secret.encode(), base64.b64encode(secret.encode()).rstrip(b"=")[:-1]]


def test_there_are_secrets_to_look_for(secrets: dict[str, str]) -> None:
    assert len(secrets) > 10


def test_none_stands_in_a_state_file_or_a_record(user: User, secrets: dict[str, str]) -> None:
    files = [path for path in (user.home / "cells").rglob("*") if path.is_file()]
    assert len(files) > 10
    assert _found(files, secrets) == []


def test_none_stands_in_a_log(user: User, secrets: dict[str, str]) -> None:
    logs = list((user.home / "local").rglob("*.log"))
    assert logs
    assert _found(logs, secrets) == []


def test_none_stands_in_a_kubernetes_object(user: User, secrets: dict[str, str]) -> None:
    kinds = user.shell("kubectl api-resources --verbs=list -o name").stdout.split()
    everything = user.shell(f"kubectl get {','.join(kinds)} -A -o json --ignore-not-found").stdout.encode()
    assert len(everything) > 100_000
    assert [
        name for name, secret in secrets.items() if any(spelling in everything for spelling in _spellings(secret))
    ] == []


def test_none_stands_in_a_process_argument_or_environment(secrets: dict[str, str]) -> None:
    texts: dict[str, bytes] = {}
    for process in psutil.process_iter(["cmdline", "environ", "name"]):
        words = [*(process.info["cmdline"] or []), *(process.info["environ"] or {}).values()]
        texts[f"{process.pid} {process.info['name']}"] = "\0".join(words).encode()
    found = [
        (process, name)
        for process, text in texts.items()
        for name, secret in secrets.items()
        if secret.encode() in text
    ]
    assert found == []


def test_the_search_itself_finds_a_planted_secret(tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    planted.write_text("password=correct-horse-battery")
    assert _found([planted], {"x": "correct-horse-battery"}) == [(str(planted), "x")]


def test_none_stands_in_the_clone(secrets: dict[str, str]) -> None:
    files = [
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not {".venv", ".git", ".mypy_cache"} & set(path.relative_to(ROOT).parts)
    ]
    assert _found(files, secrets) == []


def _found(files: list[Path], secrets: dict[str, str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path in files:
        if path.stat().st_size > SKIPPED_SIZE:
            continue
        content = path.read_bytes()
        found += [
            (str(path), name)
            for name, secret in secrets.items()
            if any(spelling in content for spelling in _spellings(secret))
        ]
    return found
