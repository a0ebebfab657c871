"""Which tests run side by side: those that share a platform run one after another, in one process."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell's job in the background has it; the commands that tests start and stop by Ctrl-C would have it as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First: pytest-xdist reads the groups in a hook of the same name."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item.path.relative_to(_TESTS))))


def _group(path: Path) -> str:
    """e2e: one user's machine. realpods: one real node. integration: two cells. Tests that break a platform of their
    own are apart. The others need nothing running (`deploying` only other people's programs): each file goes where
    there is room."""
    match path.parts[:2]:
        case ("e2e", "test_cell_backup.py"):
            return "lost cell"
        case ("e2e", _):
            return "user"
        case ("integration", "local"):
            return "platform"
        case ("integration", "faults"):
            return "faults"
        case ("realpods", _):
            return "real node"
        case ("integration", "operator" | "recovery" | "releasing" | "scaling" | "takeover"):
            return "another cell"
        case ("integration", folder) if folder != "deploying":
            return "cell"
    return str(path)
