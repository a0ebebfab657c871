"""The command line of the backup program: `tenantry-backup run | list | verify | restore | media | prune`."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from tenantry.backup.catalogue import catalogue
from tenantry.backup.manifest import Manifest
from tenantry.backup.restoring import bring_media, check, open_all
from tenantry.backup.restoring import restore as bring_back
from tenantry.backup.settings import Settings
from tenantry.backup.surroundings import surroundings
from tenantry.backup.taking import Pruned, take
from tenantry.backup.taking import prune as let_go
from tenantry.tenancy.errors import InvalidInput, TenantryError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Backups of one tenant: database, media and application secrets, enveloped by the tenant's own key."
    " Settings come from the environment (docs/backups.md).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_Id = Annotated[str | None, typer.Argument(metavar="[BACKUP]", help="Its id; the newest when left out.")]


@app.command()
def run(as_json: _Json = False) -> None:
    """Take a backup, then let go of what retention does not keep."""
    with surroundings(_settings()) as around:
        manifest, pruned = take(around)
    _show(
        {"backup": _summary(manifest), "pruned": _pruned(pruned)},
        [f"{manifest.id}: {manifest.size} bytes stored", *manifest.left_out, *_pruned_lines(pruned)],
        as_json=as_json,
    )


@app.command("list")
def list_(as_json: _Json = False) -> None:
    """Show what the store holds, oldest first."""
    with surroundings(_settings()) as around:
        found = catalogue(around.store)
    _show(
        {
            "backups": [_summary(manifest) for manifest in found.whole],
            "damaged": [{"id": damaged.id, "reason": damaged.reason} for damaged in found.damaged],
            "unfinished": list(found.stale),
        },
        [
            *(f"{manifest.id}  {manifest.size} bytes  release {manifest.release or '?'}" for manifest in found.whole),
            *(f"{damaged.id}  DAMAGED: {damaged.reason}" for damaged in found.damaged),
            *(f"{identifier}  unfinished" for identifier in found.stale),
        ],
        as_json=as_json,
    )


@app.command()
def verify(
    backup: _Id = None,
    checksums_only: Annotated[bool, typer.Option(help="Do not open it; needs no right to the tenant's key.")] = False,
    as_json: _Json = False,
) -> None:
    """Read all of a backup back: every checksum, then whether it opens."""
    with surroundings(_settings()) as around:
        manifest = catalogue(around.store).find(backup)
        check(around, manifest)
        if not checksums_only:
            open_all(around, manifest)
    _show(
        {"verified": manifest.id, "opened": not checksums_only},
        [f"{manifest.id} is whole" + ("" if checksums_only else " and opens")],
        as_json=as_json,
    )


@app.command()
def restore(
    backup: _Id = None,
    schema: Annotated[str | None, typer.Option(help="Schema to fill; the tenant's own when left out.")] = None,
    user: Annotated[str | None, typer.Option(help="Account to use instead of the role's.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with that account's password.")] = None,
    media_to: Annotated[Path | None, typer.Option(help="Folder for media, one folder a name in it.")] = None,
    secrets_to: Annotated[Path | None, typer.Option(help="New file (mode 0600) for the application's secrets.")] = None,
    force: Annotated[bool, typer.Option(help="Drop what is in the schema, unpack over existing files.")] = False,
    as_json: _Json = False,
) -> None:
    """Bring a backup back. Touches nothing before all of it has been checked."""
    if (user is None) != (password_file is None):
        raise InvalidInput("--user and --password-file belong together")
    changes: dict[str, str] = {}
    if schema is not None:
        changes["DATABASE_SCHEMA"] = schema
    if user is not None:
        changes |= {"DATABASE_USER": user, "DATABASE_PASSWORD_FILE": str(password_file)}
    with surroundings(_settings(changes)) as around:
        manifest = catalogue(around.store).find(backup)
        bring_back(around, manifest, media_to=media_to, secrets_to=secrets_to, force=force)
        target = around.database.schema
    _show({"restored": manifest.id, "schema": target}, [f"{manifest.id} is back in {target}"], as_json=as_json)


@app.command()
def media(backup: _Id = None, as_json: _Json = False) -> None:
    """Bring the media of a backup back into the folders that are backed up. Files that came later stay."""
    with surroundings(_settings()) as around:
        manifest = catalogue(around.store).find(backup)
        brought = bring_media(around, manifest, around.settings.media)
    lines = [f"{manifest.id}: {name} is back" for name in brought] or [f"{manifest.id} has no media for here"]
    _show({"restored": manifest.id, "media": list(brought)}, lines, as_json=as_json)


@app.command()
def prune(as_json: _Json = False) -> None:
    """Let go of what retention does not keep, and clean up after interrupted runs."""
    with surroundings(_settings()) as around:
        pruned = let_go(around)
    _show(_pruned(pruned), _pruned_lines(pruned) or ["nothing to prune"], as_json=as_json)


def main() -> None:
    """Entry point of `tenantry-backup`. Exit codes are those of tenantry.tenancy.errors; 143 when told to stop."""
    os.umask(0o077)
    stopping: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        # Unwinds, so that the dump is ended and the pieces of an unfinished backup are removed.
        stopping.append(128 + number)
        sys.exit(stopping[0])

    signal.signal(signal.SIGTERM, stop)
    try:
        app()
    except BaseException as error:
        if stopping:  # whatever the exit has become on its way through the encrypting stream
            sys.exit(stopping[0])
        if not isinstance(error, TenantryError):
            raise
        sys.stderr.write("".join(f"{line}\n" for line in _explain(error)))
        sys.exit(error.exit_code)


def _settings(changes: dict[str, str] | None = None) -> Settings:
    environment = dict(os.environ)
    if changes and "DATABASE_USER" in changes:
        environment.pop("TENANTRY_BACKUP_DATABASE_ROLE", None)
    environment |= {f"TENANTRY_BACKUP_{name}": value for name, value in (changes or {}).items()}
    return Settings.from_environment(environment)


def _summary(manifest: Manifest) -> dict[str, Any]:
    full = manifest.model_dump(mode="json", by_alias=True)
    full["parts"] = [
        {"name": part.name, "size": part.size, "plainSize": part.plain_size, "keyVersion": part.key_version}
        for part in manifest.parts
    ]
    return {**full, "size": manifest.size}


def _pruned(pruned: Pruned) -> dict[str, list[str]]:
    return {"expired": list(pruned.expired), "unfinished": list(pruned.stale)}


def _pruned_lines(pruned: Pruned) -> list[str]:
    return [
        *(f"{identifier}: expired, removed" for identifier in pruned.expired),
        *(f"{identifier}: unfinished, removed" for identifier in pruned.stale),
    ]


def _show(document: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    typer.echo(json.dumps(document, indent=2) if as_json else "\n".join(lines))


def _explain(error: TenantryError) -> list[str]:
    lines = [f"{error.code}: {error.message}"]
    if isinstance(error, InvalidInput):
        lines += [f"  {problem.path or 'settings'}: {problem.message}" for problem in error.problems]
    if error.where:
        lines.append(f"  where: {error.where}")
    if error.hint:
        lines.append(f"  what to do: {error.hint}")
    return lines
