"""`tenantry tenant delete | undelete | certificate`: from the wish to delete a tenant to the proof that it is gone."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from tenantry.cli.asking import YesOption, confirm
from tenantry.cli.declaring import objects_of
from tenantry.cli.live import LiveRuns
from tenantry.cli.object_deletion import ask_for_deletion, await_deletion, take_back
from tenantry.cli.opening import find_cell, open_fleet
from tenantry.cli.options import CellOption, LocalOption, TimeoutOption
from tenantry.cli.reporting import JsonOption, error_document, out, print_json, report_error, say
from tenantry.engine.locking import username
from tenantry.fleet import Fleet
from tenantry.fleet.deletions import Deletions
from tenantry.fleet.home import cell_home
from tenantry.tenancy.deletion import DELETE, Deletion, Step, Tombstone
from tenantry.tenancy.errors import InvalidInput, Locked

if TYPE_CHECKING:
    from tenantry.deprovisioning import Advanced, Certificate

__all__ = ["register"]

NameArgument = Annotated[str, typer.Argument(help="A tenant of the cell.", show_default=False)]
_SHORTEST_S = 1.0
_ASKED = "asked for; the operator does it"


def register(app: typer.Typer) -> None:
    """Add the commands to `tenantry tenant`."""
    for command in (delete, undelete, certificate):
        app.command()(command)


def delete(
    name: NameArgument,
    now: Annotated[
        bool, typer.Option("--now", help="Without the grace period, where the environment allows it.")
    ] = False,
    yes: YesOption = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is closed or, when due, gone.")] = True,
    timeout_s: Annotated[int, typer.Option("--timeout", min=1, help="Seconds to wait at most.")] = 900,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Delete a tenant: close it, keep its data for the grace period, then erase all of it and certify that.

    Run it again to go on: after the grace period, after a failure, after a kill. `undelete` takes it back until then.
    """
    from tenantry.deprovisioning import Deprovisioning

    with open_fleet(cell, local) as fleet:
        objects = objects_of(fleet)
        body = objects.get(name) if objects is not None else None
        if objects is not None and body is not None:
            if DELETE not in (body["metadata"].get("annotations") or {}):
                confirm(_deed(name, now=now), yes=yes, as_json=as_json)
            ask_for_deletion(fleet, objects, body, now=now)
            standing = await_deletion(objects, name, timeout_s=timeout_s, quiet=as_json) if wait else _ASKED
            _show_object(fleet, name, standing, as_json=as_json)
            return
        deprovisioning = Deprovisioning(fleet)
        known = fleet.deletions.get(name)
        if known is None and (buried := fleet.deletions.tombstones(name)) and fleet.registry.get(name) is None:
            _show_end(buried[-1], as_json=as_json)
            return
        if known is None:
            fleet.record(name)
            confirm(_deed(name, now=now), yes=yes, as_json=as_json)
        deletion = deprovisioning.request(name, by=username(), now=now)
        if not wait:
            _show_standing(deletion, "asked for; nothing is done yet", as_json=as_json)
            return
        with LiveRuns(quiet=as_json) as live:
            advanced = _advance(
                lambda: deprovisioning.advance(
                    name,
                    progress=(lambda _: None) if as_json else (lambda line: say(f"{name}: {line}")),
                    on_event=lambda event: live(name, event),
                ),
                quiet=as_json,
                timeout_s=timeout_s,
            )
    if advanced.error is not None:
        if as_json:
            print_json({**_standing(advanced.deletion, advanced.sentence), "errors": [error_document(advanced.error)]})
        else:
            report_error(advanced.error, prefix=f"{name}: step {_failing(advanced.deletion)}: ")
            say(f"{name}: not finished; the operator goes on by itself, or run this command again")
        raise typer.Exit(advanced.error.exit_code)
    if advanced.tombstone is not None:
        _show_end(advanced.tombstone, as_json=as_json)
    else:
        _show_standing(advanced.deletion, advanced.sentence, as_json=as_json)


def undelete(
    name: NameArgument,
    timeout_s: TimeoutOption = 900,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Take a deletion back within its grace period: the same tenant, under the same names, with all its data."""
    from tenantry.deprovisioning import Deprovisioning

    with open_fleet(cell, local) as fleet, LiveRuns(quiet=as_json) as live:
        objects = objects_of(fleet)
        body = objects.get(name) if objects is not None else None
        if objects is not None and body is not None:
            take_back(objects, body, timeout_s=timeout_s, quiet=as_json)
            incarnation = str((body.get("status") or {}).get("incarnation"))
        else:
            Deprovisioning(fleet).cancel(name, on_event=lambda event: live(name, event))
            incarnation = fleet.record(name).incarnation
    if as_json:
        print_json({"tenant": name, "incarnation": incarnation, "deletion": "cancelled"})
    else:
        say(f"{name}: back, with all its data")


def certificate(
    subject: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A deleted tenant, or a certificate's file.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the signature; needs nothing but the public key.")
    ] = False,
    key: Annotated[
        Path | None, typer.Option("--key", help="The cell's public key in PEM; default: as kept on this machine.")
    ] = None,
    incarnation: Annotated[
        str | None, typer.Option("--incarnation", help="Which life of the name; the last one.")
    ] = None,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Show the certificate of a tenant that is gone, or check one. With a FILE and --key no cell is needed."""
    from tenantry.deprovisioning import check_certificate
    from tenantry.deprovisioning.certificate import public_keys

    folder = None if key is not None and Path(subject).is_file() else _folder(cell, local)
    found = _find(subject, folder, incarnation)
    if verify:
        check_certificate(found, public_keys(key or folder or Path()), source=subject)
    if as_json:
        document = found.model_dump(mode="json")
        print_json({"verified": True, "digest": found.digest, "certificate": document} if verify else document)
        return
    if verify:
        out.print(f"[green]✓[/] the signature fits: {found.digest}")
    _print_certificate(found)


def _advance(step: Any, *, quiet: bool, timeout_s: int) -> Advanced:
    """Call again while something that may heal stands in the way, until the time is over."""
    deadline = time.monotonic() + timeout_s
    pause = Event()
    said = ""
    while True:
        try:
            advanced: Advanced = step()
        except Locked:
            if time.monotonic() > deadline:
                raise
            pause.wait(_SHORTEST_S + random.random())  # noqa: S311 (spreads two waiting commands, nothing more)
            continue
        if advanced.error is None or advanced.again_at is None:
            return advanced
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return advanced
        if not quiet and advanced.sentence != said:
            say(f"{advanced.deletion.name}: {advanced.sentence}")
            said = advanced.sentence
        until_s = (advanced.again_at - datetime.now(UTC)).total_seconds()
        pause.wait(max(_SHORTEST_S, min(until_s, left_s)))


def _deed(name: str, *, now: bool) -> str:
    when = "at once" if now else "after the grace period"
    return f"close tenant {name} and erase all its data {when}"


def _folder(cell: Path | None, local: str) -> Path:
    return cell_home(find_cell(cell, local).metadata.name)


def _find(subject: str, folder: Path | None, incarnation: str | None) -> Certificate:
    from tenantry.deprovisioning import Certificate

    path = Path(subject)
    if path.is_file():
        return Certificate.parse(path.read_bytes(), source=subject)
    buried = Deletions(folder).tombstones(subject) if folder is not None else ()
    chosen = [one for one in buried if incarnation in (None, one.incarnation)]
    if not chosen:
        raise InvalidInput(
            f"no deleted tenant and no file is called {subject}",
            hint="a tenant gets its certificate when `tenantry tenant delete` has ended",
        )
    return Certificate.model_validate(chosen[-1].certificate)


def _standing(deletion: Deletion, sentence: str) -> dict[str, Any]:
    return {
        "tenant": deletion.name,
        "incarnation": deletion.incarnation,
        "deletion": sentence,
        "dueAt": deletion.due_at.isoformat(),
        "stepsDone": [step.value for step in deletion.done],
        "failing": deletion.failure.model_dump(mode="json") if deletion.failure else None,
    }


def _failing(deletion: Deletion) -> str:
    """What lingers is no failure; the inventory alone finds such."""
    return (deletion.failure.step if deletion.failure else Step.INVENTORY).value


def _show_standing(deletion: Deletion, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_standing(deletion, sentence))
        return
    say(f"{deletion.name}: {sentence}")
    if deletion.erasing_since is None:
        say(f"  take it back:  tenantry tenant undelete {deletion.name}")
        say(f"  after that day: tenantry tenant delete {deletion.name}")


def _show_object(fleet: Fleet, name: str, standing: str, *, as_json: bool) -> None:
    """standing: "" for one that is gone; its tombstone is shown where the operator keeps its records here."""
    buried = fleet.deletions.tombstones(name)
    if not standing and buried:
        _show_end(buried[-1], as_json=as_json)
    elif as_json:
        print_json({"tenant": name, "deletion": standing or "finished"})
    else:
        say(f"{name}: {standing or 'gone'}")
        if standing:
            say(f"  take it back:  tenantry tenant undelete {name}")


def _show_end(tombstone: Tombstone, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "tenant": tombstone.name,
                "incarnation": tombstone.incarnation,
                "deletion": "finished",
                "erasedAt": tombstone.erased_at.isoformat(),
                "unrecoverableOn": tombstone.unrecoverable_on.isoformat(),
                "certificateSha256": tombstone.digest,
            }
        )
        return
    say(f"{tombstone.name}: gone since {tombstone.erased_at:%Y-%m-%d %H:%M UTC}; no key opens its data")
    say(f"  unrecoverable from {tombstone.unrecoverable_on}, when the last copies have aged out")
    say(f"  certificate {tombstone.digest}: tenantry tenant certificate {tombstone.name} --verify")


def _print_certificate(found: Certificate) -> None:
    body = found.payload
    database = body["found"]["database"]
    lines = [
        ("tenant", f"{body['tenant']} (incarnation {body['incarnation']}, cell {body['cell']})"),
        ("asked for", f"{body['requestedAt']} by {body['requestedBy']}, policy {body['policy']}"),
        ("erased", body["erasedAt"]),
        (
            "unrecoverable from",
            f"{body['unrecoverable']['on']}: {', '.join(body['unrecoverable']['waitsFor']) or 'no copy'}",
        ),
        ("resources", sum(body["found"]["resources"].values())),
        ("database", database.get("note") or f"{database['tables']} tables, {database['bytes']} bytes"),
        ("final backup", body["finalBackup"]["id"] or body["finalBackup"]["note"]),
        ("keys destroyed", ", ".join(f"{one['name']} {one['destroyed_at']}" for one in body["keysDestroyed"])),
        ("looked at", ", ".join(f"{count} in {name}" for name, count in body["inventory"]["looked_at"].items())),
        ("left", body["inventory"]["result"]),
    ]
    if closed := body["inventory"].get("not_looked_at"):
        lines.append(("not looked at", ", ".join(closed)))
    lines += [("kept", f"{one['what']} until {one['until']}") for one in body["retained"]]
    for label, value in lines:
        out.print(f"[bold]{label:20}[/] {escape(str(value))}")
