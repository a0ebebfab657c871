"""The order in which a program is looked for, and what is said when it cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenantry.local.release import _expected
from tenantry.local.toolchain import TOOLS, Tool, Toolchain
from tenantry.tenancy.errors import DependencyUnavailable

_TOOL = Tool(name="thing", version="1.2.3", fits=("1.2",), module=("thing", "example.org/thing/v3"), wheel="thing-bin")


def _program(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "thing"
    path.write_text(f"#!/bin/sh\necho thing v{version}\n")
    path.chmod(0o755)
    return path


def _find(tmp_path: Path, *search: Path, tool: Tool = _TOOL) -> Path:
    toolchain = Toolchain(cache=tmp_path / "cache", sources=tmp_path / "sources", search=search, offline=True)
    return toolchain.find([tool], lambda _: None)["thing"]


def test_the_first_folder_with_a_version_that_fits_wins(tmp_path: Path) -> None:
    _program(tmp_path / "old", "1.1.9")
    wanted = _program(tmp_path / "fitting", "1.2.0")
    _program(tmp_path / "later", "1.2.9")
    assert _find(tmp_path, tmp_path / "old", tmp_path / "fitting", tmp_path / "later") == wanted


def test_the_cache_is_used_when_nothing_installed_fits(tmp_path: Path) -> None:
    _program(tmp_path / "old", "1.1.9")
    cached = _program(tmp_path / "cache" / "thing-1.2.3", "1.2.3")
    assert _find(tmp_path, tmp_path / "old") == cached


def test_what_is_installed_goes_before_the_cache(tmp_path: Path) -> None:
    _program(tmp_path / "cache" / "thing-1.2.3", "1.2.3")
    installed = _program(tmp_path / "installed", "1.2.0")
    assert _find(tmp_path, tmp_path / "installed") == installed


def test_what_cannot_be_built_says_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DependencyUnavailable, match="thing") as caught:
        _find(tmp_path)
    assert caught.value.hint is not None
    assert "put thing on PATH" in caught.value.hint


def test_what_comes_from_a_python_package_names_it(tmp_path: Path) -> None:
    tool = Tool(name="thing", version="1.2.3", fits=("1.2",), wheel="thing-bin")
    with pytest.raises(DependencyUnavailable) as caught:
        _find(tmp_path, tool=tool)
    assert "thing-bin" in str(caught.value.hint)


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool.module], ids=lambda tool: tool.name)
def test_the_pinned_module_has_the_version_that_is_asked_for(tool: Tool) -> None:
    assert tool.module is not None
    folder = Path(__file__).resolve().parents[3] / "tools" / tool.module[0]
    required = {
        line.split(" //")[0].split()[-1] for line in (folder / "go.mod").read_text().splitlines() if line.strip()
    }
    assert f"v{tool.version}" in required
    assert (folder / "go.sum").stat().st_size > 0


@pytest.mark.parametrize(
    ("sums", "found"),
    [
        ("a" * 64, "a" * 64),
        (f"{'b' * 64}  other\n{'c' * 64} *file\n", "c" * 64),
        (f"{'d' * 128}  file\n", "d" * 128),
        (f"{'b' * 64}  other\n", None),
        ("<html>not found</html>", None),
    ],
    ids=["a bare sum", "a list", "sha512", "another file's", "a page"],
)
def test_a_checksum_is_read_from_what_sites_publish(sums: str, found: str | None) -> None:
    assert _expected(sums, "file") == found
