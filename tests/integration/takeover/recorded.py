"""Checkpoints that the Pulumi CLI wrote for programs of ours, kept so that what it writes is known without it.

`python -m tests.integration.takeover.recorded [NAME…]` writes them anew, on the local platform of this machine and with
the CLI on PATH. They are as the CLI wrote them, one resource a line, without the places in the source and the cluster's
notes of who manages which field. With each is the cell that it was made in: what a program asks for there and here
tells how the CLI would have written it here. No secret is in them in plain text; they are under a passphrase that
protects nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tenantry.engine import Program, Stack
from tenantry.engine.choosing import EngineKind, make_engine
from tenantry.engine.desired import DesiredResource
from tenantry.engine.evaluating import evaluate
from tenantry.engine.properties import plain
from tenantry.fleet.programs import tenant_program
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.manifest import load_cell, load_tenant
from tenantry.tenancy.resolving import resolve

__all__ = ["PASSPHRASE", "RECORDED", "Recording"]

FOLDER = Path(__file__).parent / "checkpoints"
EXAMPLES = Catalogue.root() / "examples"
_OF_THE_MACHINE = ("sourcePosition", "stackTrace")
_THERE = Path("/recorded")
"""In place of the folder that a recording's programs and the cell's data had."""
PASSPHRASE = "known to everybody"
"""Protects nothing."""


@dataclass(frozen=True, slots=True)
class Recording:
    """name: of a program of the tests, or of an example tenant."""

    name: str

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.json"

    def stack(self, backend: Path) -> Stack:
        return Stack(project=self.name, name=f"recorded-{self.name}", backend=backend, secrets_provider="passphrase")

    def program(self, cell: Cell, folder: Path) -> Program:
        """folder: for what it makes outside of the cell."""
        match self.name:
            case "zoo":
                arguments: dict[str, Any] = {"namespace": "recorded-zoo", "cell": cell}
                return Program(entry="tests.integration.takeover.zoo:zoo", arguments=arguments)
            case "shop":
                arguments = {"namespace": "recorded-shop", "file": str(folder / "sign.txt")}
                return Program(entry="tests.integration.engine.shop:main", arguments=arguments)
        # Elsewhere autoscalers do what the operator does here, and the resources are others.
        operated = cell.model_copy(update={"spec": cell.spec.model_copy(update={"operator": True})})
        spec = resolve(
            load_tenant(EXAMPLES / f"{self.name}.yaml"),
            catalogue=Catalogue.load(),
            cell=operated,
            incarnation="recorded",
            today=date(2026, 11, 24),
        )
        return tenant_program(spec)

    def asked(self, cell: Cell, folder: Path) -> list[DesiredResource]:
        """What its program asks for in a cell."""
        program = self.program(cell, folder)
        return list(evaluate(self.stack(folder), program, known_ids={}, emit=lambda _event: None).resources)

    def fitted(self, cell: Cell, folder: Path) -> tuple[dict[str, Any], frozenset[str]]:
        """The checkpoint as the CLI would have written it in this cell, and the URNs of what its program of today asks
        for otherwise than the one that made it: those alone may be planned to change."""
        document: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        made = document.pop("made by")
        there = self.asked(Cell.model_validate(made["cell"]), _THERE)
        here = self.asked(cell, folder)
        asked = {one.urn: _digest(one) for one in there}
        changed = {urn for urn, _ in asked.items() ^ made["asked"].items()}
        differing = {pair for one, other in zip(there, here, strict=True) for pair in _differing(one, other)}
        fitting = _Fitting(dict(differing))
        return fitting.of(document), frozenset(fitting.of(sorted(changed)))


RECORDED = (Recording("shop"), Recording("zoo"), *(Recording(path.stem) for path in sorted(EXAMPLES.glob("*.yaml"))))


def _digest(one: DesiredResource) -> str:
    text = json.dumps([plain(dict(one.inputs)), one.protect], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _differing(there: DesiredResource, here: DesiredResource) -> Iterator[tuple[Any, Any]]:
    yield from _leaves(there.name, here.name)
    yield from _leaves(plain(dict(there.inputs)), plain(dict(here.inputs)))


def _leaves(there: Any, here: Any) -> Iterator[tuple[Any, Any]]:
    """Values that the same place has in two cells, where they differ."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in there.keys() & here.keys():
            yield from _leaves(there[key], here[key])
    elif isinstance(there, list) and isinstance(here, list):
        for one, other in zip(there, here, strict=True):
            yield from _leaves(one, other)
    elif there != here:
        yield there, here


class _Fitting:
    """Puts the values of one cell in the place of another's, in texts also where they are a part of one."""

    def __init__(self, values: Mapping[Any, Any]) -> None:
        self._values = values
        texts = sorted((one for one in values if isinstance(one, str)), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, texts)) or "(?!)")

    def of(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item) for item in value]
        if isinstance(value, str):
            return self._pattern.sub(lambda found: str(self._values[found[0]]), value)
        return self._values.get(value, value) if isinstance(value, int | float) else value


def _record(recording: Recording, cell: Cell, home: Path, commit: str) -> None:
    with tempfile.TemporaryDirectory() as name, make_engine(EngineKind.CLI) as cli:
        folder = Path(name)
        stack, program = recording.stack(folder), recording.program(cell, folder)
        cli.up(stack, program)
        path = folder / ".pulumi" / "stacks" / stack.project / f"{stack.name}.json"
        document = json.loads(path.read_bytes())
        made: dict[str, Any] = {
            "cli": cli.name,
            "pulumi": version("pulumi"),
            "pulumi-kubernetes": version("pulumi-kubernetes"),
            "program": f"{program.entry} at {commit}",
        }
        cli.destroy(stack, lift_protection=True)
    resources = document["checkpoint"]["latest"].pop("resources")
    for one in resources:
        for key in _OF_THE_MACHINE:
            one.pop(key, None)
        one.get("outputs", {}).get("metadata", {}).pop("managedFields", None)
    there = Cell.model_validate_json(
        cell.model_dump_json(by_alias=True, exclude_none=True).replace(str(home), str(_THERE))
    )
    made["cell"] = there.model_dump(mode="json", by_alias=True, exclude_none=True)
    made["asked"] = {one.urn: _digest(one) for one in recording.asked(there, _THERE)}
    lines = ",\n".join(json.dumps(one, sort_keys=True) for one in resources)
    text = json.dumps({"made by": made, **document}, sort_keys=True)
    text = text.replace('"latest": {', f'"latest": {{"resources": [\n{lines}\n], ', 1)
    for place in (name, str(home)):
        text = text.replace(place, str(_THERE))
    recording.file.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    import subprocess

    from tenantry.local import LocalPlatform

    platform = LocalPlatform("default")
    os.environ.update(platform.environment())
    os.environ["PULUMI_CONFIG_PASSPHRASE"] = PASSPHRASE
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    for recording in (one for one in RECORDED if one.name in sys.argv[1:] or not sys.argv[1:]):
        _record(recording, load_cell(platform.cell_file), platform.home, done.stdout.strip())


if __name__ == "__main__":
    main()
