"""What the Pulumi CLI executes: the program that `PulumiCli` was handed, by reference.

The file named in TENANTRY_PROGRAM was written by the engine for this one run, in a folder that only its user can read.
"""

from __future__ import annotations

import importlib
import os
import pickle
from pathlib import Path

from tenantry.tenancy.errors import InvalidInput


def main() -> None:
    """Import the function and call it; the resources that it declares are this stack's."""
    handed = os.environ.get("TENANTRY_PROGRAM")
    if handed is None:
        raise InvalidInput(
            "this project is run by tenantry, which hands it its program",
            source="TENANTRY_PROGRAM",
            hint="use `tenantry … --engine cli`, or `pulumi` in a clone of Tenantry (docs/pulumi.md)",
        )
    program = pickle.loads(Path(handed).read_bytes())  # noqa: S301 (written by this user's own engine)
    module, _, function = program.entry.partition(":")
    getattr(importlib.import_module(module), function)(**program.arguments)


main()
