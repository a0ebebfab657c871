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
    found |= {f"provisioner token {path.parent.name}": _token_in(path) for path in _kept_tokens(user)}
    return {name: value for name, value in found.items() if len(str(value)) >= 12}


def _kept_tokens(user: User) -> list[Path]:
    """Where tokens are meant to be."""
    return list((user.home / "cells").glob("*/provisioner.json"))


def _token_in(path: Path) -> str:
    return str(json.loads(path.read_bytes())["token"])


def _spellings(secret: str) -> list[bytes]:
    return [secret.encode(), base64.b64encode(secret.encode()).rstrip(b"=")[:-1]]


def test_there_are_secrets_to_look_for(secrets: dict[str, str]) -> None:
    assert len(secrets) > 10


def test_none_stands_in_a_state_file_or_a_record(user: User, secrets: dict[str, str]) -> None:
    kept = _kept_tokens(user)
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600]
    files = [path for path in (user.home / "cells").rglob("*") if path.is_file() and path not in kept]
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
