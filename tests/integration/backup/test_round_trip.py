"""Backup and restore against a real MariaDB and a real OpenBao, by the program that a job runs."""

from __future__ import annotations

import stat
from pathlib import Path

from tenantry.tenancy.errors import StateCorrupt
from tests.integration.backup.conftest import Tenant

_BINARY = bytes(range(256)) * 40


def _fill(tenant: Tenant) -> None:
    tenant.sql("CREATE TABLE parent (id INT PRIMARY KEY, name VARCHAR(80), body LONGBLOB) COMMENT='ENCRYPTED=YES'")
    tenant.sql(
        "CREATE TABLE child (id INT PRIMARY KEY AUTO_INCREMENT, parent INT, note TEXT,"
        " FOREIGN KEY (parent) REFERENCES parent (id))"
    )
    with tenant.root.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO `{tenant.schema}`.parent VALUES (1, %s, %s), (2, %s, %s), (3, NULL, '')",
            ("zoë \U0001f680", _BINARY, "\n) ENGINE=x `ENCRYPTION_KEY_ID`=7\n", b"\0\r\n\x1a'"),
        )
    tenant.sql("CREATE DEFINER=admin@'%' VIEW named AS SELECT id, name FROM parent WHERE name IS NOT NULL")
    tenant.sql("CREATE DEFINER=admin@'%' TRIGGER noted AFTER INSERT ON child FOR EACH ROW SET @seen = NEW.id")
    tenant.sql("INSERT INTO child (parent, note) VALUES (1, 'a'), (2, 'b')")
    media = tenant.home / "media"
    (media / "images" / "empty").mkdir(parents=True)
    (media / "images" / "ü \U0001f600.png").write_bytes(_BINARY)
    (media / "zero").touch()
    (media / "inside").symlink_to("images")
    (media / "outside").symlink_to("/etc/passwd")


def _content(tenant: Tenant, schema: str) -> list[object]:
    return [
        tenant.sql(f"SELECT * FROM {table} ORDER BY id", schema=schema) for table in ("parent", "child", "named")
    ] + [
        tenant.sql(
            f"SELECT TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{schema}'"
        )
    ]


def test_restore_gives_back_rows_views_triggers_media_and_secrets(tenant: Tenant) -> None:
    _fill(tenant)
    taken = tenant.run("run", "--json").document["backup"]
    assert {part["name"] for part in taken["parts"]} == {"database", "media-files", "secrets"}
    assert [line.split(":")[0] for line in taken["leftOut"]] == ["events", f"{tenant.home}/media/outside"]

    media, kept = tenant.home / "restored", tenant.home / "app.json"
    restored = tenant.run(
        "restore", "--schema", tenant.spare, "--media-to", str(media), "--secrets-to", str(kept), "--json"
    ).document
    assert restored == {"restored": taken["id"], "schema": tenant.spare}
    assert _content(tenant, tenant.spare) == _content(tenant, tenant.schema)
    definers = tenant.sql(f"SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '{tenant.spare}'")
    assert definers == ((f"{tenant.name}@%",),)
    assert (media / "files/images/ü \U0001f600.png").read_bytes() == _BINARY
    assert (media / "files/images/empty").is_dir()
    assert (media / "files/zero").read_bytes() == b""
    assert (media / "files/inside").readlink() == Path("images")
    assert "seeded-" in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_media_come_back_over_what_is_there(tenant: Tenant) -> None:
    media = tenant.home / "media"
    (media / "year").mkdir()
    (media / "year" / "letter").write_text("old")
    (media / "sign").write_text("old")
    first = tenant.run("run", "--json").document["backup"]["id"]
    (media / "year" / "letter").unlink()
    (media / "sign").write_text("a longer text")
    (media / "later").write_text("new")
    for _ in range(2):
        assert tenant.run("media", first, "--json").document == {"restored": first, "media": ["files"]}
    found = {path.relative_to(media).as_posix(): path.read_text() for path in media.rglob("*") if path.is_file()}
    assert found == {"year/letter": "old", "sign": "old", "later": "new"}
    (piece,) = (path for path in tenant.store.rglob("media-files/*"))
    piece.write_bytes(piece.read_bytes()[:-1])
    assert tenant.run("media", first).code == StateCorrupt.exit_code


def test_restore_refuses_a_schema_with_content_and_force_replaces_all_of_it(tenant: Tenant) -> None:
    _fill(tenant)
    assert tenant.run("run").code == 0
    tenant.sql("CREATE TABLE later (id INT)", schema=tenant.spare)
    refused = tenant.run("restore", "--schema", tenant.spare)
    assert (refused.code, "not empty" in refused.err) == (2, True)
    assert tenant.sql("SHOW TABLES", schema=tenant.spare) == (("later",),)
    assert tenant.run("restore", "--schema", tenant.spare, "--force").code == 0
    assert ("later",) not in tenant.sql("SHOW TABLES", schema=tenant.spare)
    assert _content(tenant, tenant.spare) == _content(tenant, tenant.schema)


def test_what_is_stored_holds_no_plain_data_and_only_its_owner_may_read_it(tenant: Tenant) -> None:
    tenant.sql("CREATE TABLE plain (id INT PRIMARY KEY, note TEXT)")
    tenant.sql("INSERT INTO plain VALUES (1, 'known-plaintext')")
    (tenant.home / "media" / "known-file-name").write_text("known-plaintext")
    assert tenant.run("run").code == 0
    for name in tenant.files():
        path = tenant.store / name
        assert not any(word in path.read_bytes() for word in (b"known-plaintext", b"known-file-name", b"seeded-"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_retention_keeps_one_a_day_and_list_shows_it(tenant: Tenant) -> None:
    first = tenant.run("run", "--json").document["backup"]["id"]
    second = tenant.run("run", "--json", TENANTRY_BACKUP_KEEP_DAILY="1").document
    newest = second["backup"]["id"]
    listed = [backup["id"] for backup in tenant.run("list", "--json").document["backups"]]
    assert first < newest
    assert listed == ([newest] if first[:8] == newest[:8] else [first, newest])
    assert {name.split("/")[1] for name in tenant.files()} == set(listed)


def test_memory_is_flat_in_the_size_of_the_data(tenant: Tenant) -> None:
    tenant.sql("CREATE TABLE big (id INT PRIMARY KEY, body BLOB)")
    tenant.sql("INSERT INTO big SELECT seq, RANDOM_BYTES(1000) FROM seq_1_to_5000")
    small = tenant.run("run")
    tenant.sql("INSERT INTO big SELECT seq, RANDOM_BYTES(1000) FROM seq_5001_to_150000")
    large = tenant.run("run")
    assert (small.code, large.code) == (0, 0)
    # Two segments and what the libraries hold; never a share of the further 145 MB.
    assert large.peak_kib - small.peak_kib < 64 * 1024
    checked = tenant.run("restore", "--schema", tenant.spare)
    assert checked.code == 0, checked.err
    assert checked.peak_kib - small.peak_kib < 64 * 1024
    assert tenant.sql("CHECKSUM TABLE big", schema=tenant.spare)[0][1] == tenant.sql("CHECKSUM TABLE big")[0][1]
