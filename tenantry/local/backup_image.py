"""The files of the backup program's image, taken from this machine: the Python that runs here, the packages that the
program needs, and MariaDB's clients. `operator/deploy/backup.Dockerfile` makes the one for a cluster.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

import tenantry

__all__ = ["NEEDED", "interpreter", "program", "python_files"]

NEEDED = ("hvac", "obstore", "pydantic", "pymysql", "requests", "tenacity", "tink", "typer", "zstandard")
"""Packages that the backup program imports; those that these need come with them."""
_FOLDER = "opt/tenantry"
_LEFT_OUT = frozenset(
    {"__pycache__", "test", "tests", "site-packages", "dist-packages", "idlelib", "tkinter", "ensurepip"}
)


def interpreter() -> Path:
    """The program itself, which finds its library from where it stands."""
    return Path(sys.executable).resolve()


def program() -> str:
    """A script that runs the backup program in the image."""
    start = "from tenantry.backup.main import main; main()"
    return (
        f"#!/bin/sh\nexport PYTHONPATH=/{_FOLDER} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1\n"
        f"exec {interpreter()} -c '{start}' \"$@\"\n"
    )


def python_files() -> dict[str, Path]:
    """Path in the image → file here: the standard library where it is, the packages in a folder of their own."""
    library = Path(sysconfig.get_paths()["stdlib"])
    found = {str(path).lstrip("/"): path for path in _below(library)}
    ours = Path(tenantry.__file__).parent
    found |= {f"{_FOLDER}/tenantry/{path.relative_to(ours)}": path for path in _below(ours)}
    for name in sorted(_closure(NEEDED)):
        for file in distribution(name).files or ():
            path = Path(str(file.locate()))
            if ".." not in file.parts and not _LEFT_OUT.intersection(file.parts) and path.is_file():
                found[f"{_FOLDER}/{file}"] = path
    return found


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        if path.is_file() and not _LEFT_OUT.intersection(inside) and not inside[0].startswith("config-"):
            yield path


def _closure(names: tuple[str, ...]) -> set[str]:
    """Distributions, with those that they need here. What is not installed here is not needed."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop().lower()
        if name in found:
            continue
        try:
            needed = distribution(name).requires or ()
        except PackageNotFoundError:
            continue
        found.add(name)
        asked = [Requirement(one) for one in needed]
        left += [one.name for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found
