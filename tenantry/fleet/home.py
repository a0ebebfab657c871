"""Where Tenantry keeps its data on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

__all__ = ["cell_home", "home"]


def home() -> Path:
    """The data folder: TENANTRY_HOME, else the user's data folder by the platform's convention."""
    chosen = os.environ.get("TENANTRY_HOME")
    return Path(chosen).expanduser().absolute() if chosen else user_data_path("tenantry")


def cell_home(cell_name: str, *, root: Path | None = None) -> Path:
    """The folder of one cell's records and state; the same for every driver on this machine."""
    return (root or home()) / "cells" / cell_name
