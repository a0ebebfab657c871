"""`tenantry cell backup-keys | backup | restore`: a whole cell as one sealed file, and anew from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenantry.cli.opening import no_platform, open_fleet
from tenantry.cli.options import LocalOption
from tenantry.cli.reporting import JsonOption, print_json, say
from tenantry.fleet.home import home
from tenantry.fleet.programs import build
from tenantry.local import LocalPlatform, Operated

__all__ = ["register"]

# What these need (Tink, the parts' clients) is imported in them: other commands start faster without.


def register(app: typer.Typer) -> None:
    """Add the commands to `tenantry cell`."""
    app.command("backup-keys")(backup_keys)
    app.command()(backup)
    app.command()(restore)


def backup_keys(
    private: Annotated[Path, typer.Option("--private", help="New file that opens backups: keep it out of the cell.")],
    public: Annotated[Path, typer.Option("--public", help="New file that seals backups.")],
    as_json: JsonOption = False,
) -> None:
    """Make the pair of keys that a cell's backups are sealed and opened with."""
    from tenantry.cell_backup import make_keys

    make_keys(private, public)
    if as_json:
        print_json({"private": str(private), "public": str(public)})
    else:
        say(f"{public} seals; {private} opens: move it to where nothing of the cell is, and keep a second copy")


def backup(
    to: Annotated[Path, typer.Option("--to", help="Folder for the new file.")],
    key: Annotated[Path, typer.Option("--key", help="The public key, of `backup-keys`.")],
    keep_days: Annotated[
        int, typer.Option("--keep-days", min=1, help="How long you keep it; certificates of deletions name that day.")
    ] = 30,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Back up a whole local cell while it works: etcd, OpenBao, MariaDB, state and records, as of one moment."""
    from tenantry.cell_backup import take

    platform = LocalPlatform(local)
    if not platform.cell_file.exists():
        raise no_platform(local, hint="other cells are backed up by their own means: docs/cell-backup.md")
    platform.keep_copies(keep_days)
    with open_fleet(None, local, administrator=True) as fleet:
        taken = take(platform, fleet, folder=to, public=key, progress=_quiet if as_json else say)
    if as_json:
        print_json(
            {
                "file": str(taken.path),
                "moment": taken.moment.isoformat(),
                "bytes": taken.size,
                "seconds": round(taken.seconds, 1),
            }
        )
    else:
        say(
            f"{taken.path}: {taken.size / 2**20:.1f} MiB in {taken.seconds:.1f} s, "
            f"of {taken.moment:%Y-%m-%d %H:%M:%S UTC}"
        )


def restore(
    file: Annotated[Path, typer.Argument(help="A backup of a cell.", show_default=False)],
    key: Annotated[Path, typer.Option("--key", help="The private key, of `backup-keys`.")],
    tombstones: Annotated[
        Path | None,
        typer.Option("--tombstones", help="Folder of tombstones kept elsewhere: those tenants are deleted again."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a local cell anew from its backup: same names, ports, keys and data. Refused where it is there already; one
    that was cut off goes on."""
    from tenantry.cell_backup import bury_again, finished, read_tombstones, renew_passwords
    from tenantry.cell_backup import restore as restore_cell

    progress = _quiet if as_json else say
    graves = read_tombstones(tombstones) if tombstones is not None else ()
    restored = restore_cell(file, private=key, progress=progress)
    platform = restored.platform
    with open_fleet(None, platform.name, administrator=True) as fleet:
        renew_passwords(fleet, copier=restored.copier, progress=progress)
    with open_fleet(None, platform.name) as fleet:
        buried = bury_again(fleet, graves, progress=progress)
        tenants = len(fleet.registry.all())
    finished(restored)
    # The operator last: it must not meet a tenant that is to be deleted again.
    platform.up(progress, operated=Operated(records=home(), build=build()))
    with open_fleet(None, platform.name, administrator=True) as fleet:
        fleet.prepare_cell()
    platform.operate(progress)
    document = {
        "cell": platform.name,
        "moment": restored.moment.isoformat(),
        "seconds": round(restored.seconds, 1),
        "tenants": tenants,
        "deletedAgain": list(buried),
    }
    if as_json:
        print_json(document)
        return
    say(
        f"cell {platform.name} is back as of {restored.moment:%Y-%m-%d %H:%M:%S UTC}, with {tenants} tenants, "
        f"after {restored.seconds:.0f} s"
    )
    if tombstones is None:
        say("were tenants deleted since? Name their tombstones with --tombstones, or delete them again by hand")


def _quiet(_line: str) -> None:
    """With --json nothing is told on the way."""
