"""What goes wrong, for real: each fault is named, leaves no half backup, and the next run makes good."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.backup.conftest import Tenant, eventually


def _make_big(tenant: Tenant) -> None:
    tenant.sql("CREATE TABLE big (id INT PRIMARY KEY, body BLOB)")
    tenant.sql("INSERT INTO big SELECT seq, RANDOM_BYTES(1000) FROM seq_1_to_150000")


def _first_object(tenant: Tenant) -> None:
    if not any("/database/" in name and "#" not in name for name in tenant.files()):
        raise AssertionError("nothing is stored yet")


def _segment(tenant: Tenant) -> Path:
    return tenant.store / next(name for name in sorted(tenant.files()) if "/database/" in name)


@contextlib.contextmanager
def _lock(tenant: Tenant) -> Iterator[None]:
    name = tenant.sql("SELECT CONCAT('tenantry-backup:', LEFT(SHA2(DATABASE(), 256), 32))")[0][0]
    assert tenant.sql(f"SELECT GET_LOCK('{name}', 0)") == ((1,),)
    try:
        yield
    finally:
        tenant.sql(f"SELECT RELEASE_LOCK('{name}')")


def test_a_destroyed_key_shreds_every_backup(tenant: Tenant) -> None:
    assert tenant.run("run").code == 0
    tenant.openbao.delete(f"transit/keys/{tenant.name}")
    for command in (("restore", "--schema", tenant.spare), ("verify",), ("run",)):
        ended = tenant.run(*command)
        assert (ended.code, ended.err.split(":")[0]) == (2, "KeyDestroyed")
    assert tenant.run("verify", "--checksums-only").code == 0
    assert tenant.sql("SHOW TABLES", schema=tenant.spare) == ()


def test_a_dump_that_dies_midway_leaves_nothing(tenant: Tenant) -> None:
    _make_big(tenant)
    with tenant.start("run") as process:
        eventually(lambda: _first_object(tenant))
        reading = tenant.sql(
            f"SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{tenant.name}' AND COMMAND = 'Query'"
        )
        tenant.sql(f"KILL {reading[0][0]}")
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "the dump failed" in err
    assert tenant.files() == set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["told to stop", "killed"])
def test_an_interrupted_run_is_cleaned_up_at_the_latest_by_the_next(tenant: Tenant, number: signal.Signals) -> None:
    _make_big(tenant)
    with tenant.start("run") as process:
        eventually(lambda: _first_object(tenant))
        process.send_signal(number)
        process.communicate(timeout=120)
    assert process.returncode == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    assert not any(name.endswith("manifest.json") for name in tenant.files())
    if number == signal.SIGTERM:
        assert tenant.files() == set()
    # The server lets go of a killed run's lock when it notices that its client is gone.
    taken = eventually(lambda: tenant.run("run", "--json").document)["backup"]["id"]
    assert {name.split("/")[1] for name in tenant.files()} == {taken}
    assert tenant.run("verify").code == 0


@pytest.mark.parametrize("damage", ["cut short", "altered", "missing"])
def test_a_damaged_object_is_named_and_nothing_is_touched(tenant: Tenant, damage: str) -> None:
    tenant.sql("CREATE TABLE some (id INT)")
    taken = tenant.run("run", "--json").document["backup"]["id"]
    segment = _segment(tenant)
    data = segment.read_bytes()
    if damage == "missing":
        segment.unlink()
    else:
        segment.write_bytes(data[:-10] if damage == "cut short" else data[:40] + bytes([data[40] ^ 1]) + data[41:])
    for command in (("verify", taken), ("restore", taken, "--schema", tenant.spare)):
        ended = tenant.run(*command)
        assert (ended.code, f"{taken}/database/00000000" in ended.err) == (5, True)
    assert tenant.sql("SHOW TABLES", schema=tenant.spare) == ()


def test_the_last_good_backup_outlives_newer_damaged_ones(tenant: Tenant) -> None:
    good = tenant.run("run", "--json").document["backup"]["id"]
    bad = "20991231T235959Z-00000000"
    shutil.copytree(tenant.store / tenant.name / good, tenant.store / tenant.name / bad)
    none = {f"TENANTRY_BACKUP_KEEP_{period}": "0" for period in ("DAILY", "WEEKLY", "MONTHLY")}
    assert tenant.run("prune", "--json", **none).document == {"expired": [], "unfinished": []}
    listed = tenant.run("list", "--json").document
    assert [backup["id"] for backup in listed["backups"]] == [good]
    assert [damaged["id"] for damaged in listed["damaged"]] == [bad]


def test_two_runs_at_once_are_refused(tenant: Tenant) -> None:
    with _lock(tenant):
        ended = tenant.run("run")
    assert (ended.code, ended.err.split(":")[0]) == (4, "Locked")
    assert tenant.files() == set()


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        pytest.param({"TENANTRY_BACKUP_STORE_URL": "/nowhere/at/all"}, 3, "backup folder", id="store is not there"),
        pytest.param({"TENANTRY_BACKUP_DATABASE_PORT": "1"}, 3, "out of reach", id="database is down"),
        pytest.param({"VAULT_ADDR": "http://127.0.0.1:1"}, 3, "cannot be reached", id="OpenBao is down"),
        pytest.param({"VAULT_TOKEN": "wrong"}, 3, "refuses", id="token is not valid"),
        pytest.param(
            {"TENANTRY_BACKUP_DATABASE_CA": "/etc/ssl/certs/ca-certificates.crt"},
            3,
            "certificate",
            id="another authority",
        ),
        pytest.param({"TENANTRY_BACKUP_KEEP_DIALY": "7"}, 2, "KEEP_DIALY", id="unknown variable"),
        pytest.param({"VAULT_ADDR": "http://bao.example:8200"}, 2, "VAULT_ADDR", id="plain http"),
    ],
)
def test_what_is_wrong_is_said(tenant: Tenant, changes: dict[str, str], code: int, words: str) -> None:
    ended = tenant.run("run", **changes)
    assert (ended.code, words in ended.err) == (code, True), ended.err
    assert "Traceback" not in ended.err
    assert tenant.files() == set()


def test_a_store_that_takes_no_more_leaves_nothing(tenant: Tenant) -> None:
    _make_big(tenant)
    # A limit on a file's size fails the first segment in the middle, as a full disk does.
    ended = tenant.run("run", before=("prlimit", "--fsize=4194304"))
    assert (ended.code, "backup store failed to write" in ended.err) == (3, True)
    assert tenant.run("prune").code == 0
    assert tenant.files() == set()


def test_passwords_are_in_no_argument_and_no_environment(tenant: Tenant) -> None:
    _make_big(tenant)
    with tenant.start("run") as process:
        eventually(lambda: _first_object(tenant))
        seen = [
            " ".join(child.cmdline()) + repr(child.environ())
            for child in psutil.Process(process.pid).children(recursive=True)
        ]
        process.communicate(timeout=120)
    password = tenant.openbao.read(f"database/static-creds/{tenant.name}")["data"]["password"]
    assert seen
    assert not any(password in text or tenant.environment["VAULT_TOKEN"] in text for text in seen)
