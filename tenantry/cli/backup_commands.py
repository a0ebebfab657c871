"""`tenantry tenant backup | backups | prove | restore`: in a cell with an operator asked of it, else done here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from tenantry.cli.asking import YesOption, confirm
from tenantry.cli.declaring import declare, follow, objects_of
from tenantry.cli.live import LiveTenants
from tenantry.cli.opening import open_fleet
from tenantry.cli.options import CellOption, LocalOption, TimeoutOption, WaitOption
from tenantry.cli.origins import begin, living, new_from
from tenantry.cli.reporting import JsonOption, out, print_json, say
from tenantry.fleet import Fleet
from tenantry.fleet.tenant_objects import TenantObjects
from tenantry.tenancy.conditions import ConditionType, Reason, Status, read
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput, RunFailed, Unsupported
from tenantry.tenancy.recovery import BACKUP, RESTORE, Goal, Restoration, parse_goal
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.standing import Standing

__all__ = ["register"]

NameArgument = Annotated[str, typer.Argument(help="A tenant of the cell.", show_default=False)]
BackupOption = Annotated[str | None, typer.Option("--backup", help="A backup's id; the newest when left out.")]
_POLL_S = 2.0
_ASKED = "asked for; the operator does it"
Result = TypeVar("Result")


def register(app: typer.Typer) -> None:
    """Add the commands to `tenantry tenant`."""
    for command in (backup, backups, prove, restore):
        app.command()(command)


def backup(
    name: NameArgument,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = 3600,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Take a backup of a tenant now: its database, media and application secrets, sealed by its own key."""
    from tenantry.recovery.backing_up import BackingUp

    with open_fleet(cell, local) as fleet:
        objects, body = _object(fleet, name)
        if objects is not None and body is not None:
            spec = living(fleet, body)
            _refuse_without_backups(spec)
            asked = _mark()
            objects.annotate(body, **{BACKUP: asked})
            if not wait:
                _show(name, {"backup": None, "asked": asked}, f"{name}: {_ASKED}", as_json=as_json)
                return
            told = _await(objects, name, ConditionType.BACKED_UP, asked, timeout_s=timeout_s, quiet=as_json)
            journal = BackingUp(spec, fleet.operations(spec.names.namespace)).journal()
            document = {
                # Where the operator keeps its journals on another machine, the message alone tells.
                "backup": journal.answer if journal.asked == asked else None,
                "asked": asked,
                "message": told["message"],
            }
            _show(name, document, f"{name}: {told['message']}", as_json=as_json)
            return
        with fleet.deletions.exclusive(name):
            spec = living(fleet, name)
            backing_up = BackingUp(spec, fleet.operations(spec.names.namespace))
            kept = _patiently(backing_up.take, wait=wait, timeout_s=timeout_s, quiet=as_json)
    document = {"backup": kept.id, "takenAt": kept.taken_at.isoformat(), "size": kept.size, "release": kept.release}
    _show(name, document, f"{name}: backup {kept.id} is kept, {_bytes(kept.size)}", as_json=as_json)


def backups(
    name: NameArgument, cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False
) -> None:
    """List a tenant's backups: age, size, release, checksum, and which came back whole when it was tried."""
    from tenantry.recovery.backing_up import BackingUp

    with open_fleet(cell, local) as fleet:
        _, body = _object(fleet, name)
        spec = living(fleet, body or name)
        backing_up = BackingUp(spec, fleet.operations(spec.names.namespace))
        listed, journal = backing_up.listed(), backing_up.journal()
    rows: list[dict[str, Any]] = []
    for kind, found in (("backup", listed.backups), ("before a change", listed.before_restore)):
        for one in found.whole:
            proof = journal.proof if journal.proof is not None and journal.proof.id == one.id else None
            proof = (
                journal.proven if journal.proven is not None and journal.proven.id == one.id and not proof else proof
            )
            rows.append(
                {
                    "id": one.id,
                    "kind": kind,
                    "takenAt": one.started_at.isoformat(),
                    "size": one.size,
                    "release": one.release,
                    "sha256": next(part.sha256 for part in one.parts if part.kind == "database"),
                    "provenAt": proof.at.isoformat() if proof is not None and not proof.problem else None,
                    "problem": proof.problem if proof is not None else "",
                }
            )
        rows += [{"id": one.id, "kind": kind, "problem": f"damaged: {one.reason}"} for one in found.damaged]
    if as_json:
        print_json({"tenant": name, "backups": rows})
        return
    _print_rows(name, rows)


def prove(
    name: NameArgument,
    backup: BackupOption = None,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Bring a backup back into a scratch schema, compare every row with what was taken, and drop it again.

    The operator does this by itself, weekly; the tenant runs on meanwhile.
    """
    from tenantry.recovery.backing_up import BackingUp

    with open_fleet(cell, local) as fleet, fleet.deletions.exclusive(name):
        _, body = _object(fleet, name)
        spec = living(fleet, body or name)
        proof = BackingUp(spec, fleet.operations(spec.names.namespace)).prove(backup)
    document = {"backup": proof.id, "proven": not proof.problem, "rows": proof.rows, "problem": proof.problem}
    if proof.problem:
        _show(name, document, f"{name}: backup {proof.id} does not come back: {proof.problem}", as_json=as_json)
        raise typer.Exit(RunFailed.exit_code)
    _show(name, document, f"{name}: backup {proof.id} came back whole, {proof.rows} rows", as_json=as_json)


def restore(
    name: NameArgument,
    backup: BackupOption = None,
    at: Annotated[
        str | None, typer.Option("--at", help="A moment instead, such as 2026-11-26T01:02:03Z.", show_default=False)
    ] = None,
    as_new: Annotated[
        str | None, typer.Option("--as", help="Make a new tenant of this name from it.", show_default=False)
    ] = None,
    yes: YesOption = False,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = 7200,
    cell: CellOption = None,
    local: LocalOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Bring a tenant's data back from one of its backups, or to a moment between two.

    The workload stops only when the data has come back whole beside the present one; what was there is kept for a week.
    Run it again to go on after a kill. With --as nothing of NAME is touched.
    """
    wanted, goal = _wanted(backup, at)
    with open_fleet(cell, local) as fleet:
        objects, body = _object(fleet, name)
        source = living(fleet, body or name)
        _refuse_unknown(fleet, source, goal)
        if as_new is not None:
            file = new_from(fleet, body or name, as_new, wanted)
            fleet.specs.resolve_all([file])
            document: dict[str, Any] = {"origin": name, "restored": wanted}
            if objects is not None:
                with LiveTenants(quiet=as_json) as live:
                    (declared,) = declare(
                        fleet, objects, [file], take_over=False, wait=wait, timeout_s=timeout_s, tell=live
                    )
                if declared.error is not None:
                    raise declared.error
                told = f"{as_new}: begun from {goal} of {name}" if wait else f"{as_new}: {_ASKED}"
            else:
                begun = begin(fleet, [file], progress=_silent if as_json else lambda line: say(f"{as_new}: {line}"))
                document["leftOut"] = "".join(one.left_out for one in begun)
                told = f"{as_new}: begun from {goal} of {name}"
            _show(as_new, document, told, as_json=as_json)
            return
        confirm(
            f"replace all data of tenant {name} by {goal}, and keep what is there for a week",
            yes=yes,
            as_json=as_json,
        )
        asked = f"{wanted}#{_mark()}"
        if objects is not None and body is not None:
            objects.annotate(body, **{RESTORE: asked})
            if not wait:
                _show(name, {"asked": asked}, f"{name}: {_ASKED}", as_json=as_json)
                return
            told_by = _await(objects, name, ConditionType.RESTORED, asked, timeout_s=timeout_s, quiet=as_json)
            _show(
                name, {"asked": asked, "message": told_by["message"]}, f"{name}: {told_by['message']}", as_json=as_json
            )
            return
        ended = _here(fleet, source, asked, wait=wait, timeout_s=timeout_s, quiet=as_json)
    document = {"restored": ended.backup, "before": ended.saved, "leftOut": ended.left_out, "asked": asked}
    told = f"{name}: {ended.backup} is back; what was there before is {ended.saved}"
    more = f"; {ended.left_out} did not come with it" if ended.left_out else ""
    _show(name, document, told + more, as_json=as_json)


def _wanted(backup: str | None, at: str | None) -> tuple[str, Goal]:
    """The wish as text and as what it means. Raises InvalidInput naming the option."""
    if backup is not None and at is not None:
        raise InvalidInput("--backup and --at exclude each other", hint="a moment has no id")
    wanted = backup or at or "latest"
    try:
        goal = parse_goal(wanted)
    except InvalidInput as error:
        raise InvalidInput(error.message, source="--at" if at else "--backup", hint=error.hint) from None
    if (at is None) is not (goal.at is None):
        raise InvalidInput(f"{wanted} is {'no moment' if at else 'a moment'}", source="--at" if at else "--backup")
    return wanted, goal


def _refuse_unknown(fleet: Fleet, spec: TenantSpec, goal: Goal) -> None:
    """Raises InvalidInput for a moment that has not been yet, and for a backup that is not in the store, where this
    machine sees into it. The one who restores looks in any case."""
    from tenantry.recovery.backing_up import BackingUp

    if goal.at is not None:
        from tenantry.recovery.point_in_time import check_moment

        with suppress(Unsupported):  # the operator's machine may have physical backups that this one does not see
            check_moment(spec, goal.at)
    if goal.backup is None:
        return
    try:
        listed = BackingUp(spec, fleet.operations(spec.names.namespace)).listed()
    except (DependencyUnavailable, RunFailed):
        return
    found = (listed.backups, listed.before_restore)
    known = {one.id for held in found for one in held.whole} | {one.id for held in found for one in held.damaged}
    if known and goal.backup not in known:
        raise InvalidInput(
            f"there is no backup {goal.backup}",
            source="--backup",
            hint=f"`tenantry tenant backups {spec.name}` shows what there is",
        )


def _here(fleet: Fleet, spec: TenantSpec, asked: str, *, wait: bool, timeout_s: float, quiet: bool) -> Restoration:
    """Restore under the tenant's lock; one that was cut off is finished first, if it wants the same."""
    from tenantry.recovery.restoring import Restoring

    restoring = Restoring(fleet, spec, progress=_silent if quiet else lambda line: say(f"{spec.name}: {line}"))
    with fleet.deletions.exclusive(spec.name), fleet.releases.exclusive(spec.name):
        known = restoring.journal()
        goal = parse_goal(asked)
        if known is None or known.ended_at is not None or known.goal != goal:
            restoring.check(goal)
            restoring.request(asked, goal)
        ended = _patiently(restoring.advance, wait=wait, timeout_s=timeout_s, quiet=quiet)
    if ended.problem:
        raise RunFailed(
            f"not brought back, what was there is untouched: {ended.problem}", where=spec.name, hint="choose another"
        )
    return ended


def _object(fleet: Fleet, name: str) -> tuple[TenantObjects | None, Mapping[str, Any] | None]:
    objects = objects_of(fleet)
    return objects, objects.require(name) if objects is not None else None


def _refuse_without_backups(spec: TenantSpec) -> None:
    if not spec.backup.enabled:
        raise Unsupported(
            f"tenant {spec.name} has no backups: its file switches them off",
            where="spec.backup.enabled",
            hint="take that line out and apply the file again",
        )


def _await(
    objects: TenantObjects, name: str, kind: ConditionType, asked: str, *, timeout_s: float, quiet: bool
) -> Mapping[str, Any]:
    """The condition that answers the wish. Raises what is in the way, RunFailed when it was refused or is too slow."""

    def told(body: Mapping[str, Any]) -> Mapping[str, Any]:
        found = read((body.get("status") or {}).get("conditions") or (), kind) or {}
        return found if asked in str(found.get("message")) and found.get("reason") != Reason.RESTORING.value else {}

    def answered(body: dict[str, Any], standing: Standing) -> bool:
        return bool(told(body)) or standing.trouble is not None

    with LiveTenants(quiet=quiet) as live:
        for _, body, standing in follow(objects, [name], timeout_s=timeout_s, tell=live, until=answered):
            found = told(body)
            if found and (found["status"] == Status.TRUE.value or kind is ConditionType.BACKED_UP):
                return found
            if found:
                raise RunFailed(str(found["message"]), where=f"tenant/{name}", hint="choose another backup or moment")
            if standing.trouble is not None:
                raise standing.trouble
            raise RunFailed(
                f"not done after {timeout_s:.0f} s: {standing.doing}",
                where=f"tenant/{name}",
                hint=f"the operator goes on with it: `tenantry tenant status {name}`",
            )
    raise InvalidInput(f"tenant {name} is gone", source=name)


def _patiently(step: Callable[[], Result], *, wait: bool, timeout_s: float, quiet: bool) -> Result:
    """Again while something that ends by itself stands in the way, until the time is over."""
    deadline, pause, said = time.monotonic() + timeout_s, Event(), ""
    while True:
        try:
            return step()
        except DependencyUnavailable as error:
            if not wait or time.monotonic() > deadline:
                raise
            if error.message != said and not quiet:
                say(error.message)
            said = error.message
            pause.wait(_POLL_S)


def _mark() -> str:
    """What makes this wish another than the last: a time and a random end."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{secrets.token_hex(3)}"


def _silent(_line: str) -> None:
    """For --json."""


def _show(name: str, document: Mapping[str, Any], line: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"tenant": name, **document})
    else:
        say(line)


def _print_rows(name: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        out.print(f"{escape(name)}: no backup yet; take one with `tenantry tenant backup {escape(name)}`")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("ID", "AGE", "SIZE", "RELEASE", "SHA-256", "PROVEN", "WHAT"):
        table.add_column(column)
    now = datetime.now(UTC)
    for row in rows:
        taken = datetime.fromisoformat(row["takenAt"]) if "takenAt" in row else None
        if row["problem"]:
            proven = f"[red]{escape(row['problem'])}[/]"
        else:
            proven = (
                f"[green]{row['provenAt'][:16].replace('T', ' ')}[/]" if row.get("provenAt") else "[dim]not tried[/]"
            )
        table.add_row(
            row["id"],
            _age(now - taken) if taken is not None else "-",
            _bytes(row["size"]) if "size" in row else "-",
            row.get("release") or "-",
            (row.get("sha256") or "-")[:12],
            proven,
            row["kind"],
        )
    out.print(table)


def _age(age: timedelta) -> str:
    hours = int(age.total_seconds() // 3600)
    return f"{hours // 24} d" if hours >= 48 else f"{hours} h" if hours else f"{int(age.total_seconds() // 60)} min"


def _bytes(size: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"
