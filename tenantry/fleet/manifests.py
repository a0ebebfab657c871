"""A tenant's Kubernetes manifests as files: a tree that is the same, byte for byte, for the same input."""

from __future__ import annotations

import difflib
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tenantry.tenancy.errors import InvalidInput

__all__ = ["differences", "to_files", "write_tree"]

MARKER = ".tenantry-rendered"


def to_files(objects: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Path to YAML text: `<namespace>/<kind>-<name>.yaml`, cluster-scoped objects under `_cluster/`."""
    files: dict[str, str] = {}
    for manifest in objects:
        metadata = manifest["metadata"]
        folder = metadata.get("namespace", "_cluster")
        files[f"{folder}/{manifest['kind'].lower()}-{metadata['name']}.yaml"] = _text(manifest)
    return dict(sorted(files.items()))


def write_tree(files: Mapping[str, str], output: Path) -> tuple[Path, ...]:
    """Write the files, replacing what an earlier call wrote there. A folder of anybody else's is refused."""
    if output.exists() and (not output.is_dir() or (any(output.iterdir()) and not (output / MARKER).exists())):
        raise InvalidInput(
            "the output exists and was not made by `tenantry tenant render`",
            source=str(output),
            hint="name a new or empty folder",
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}-"))
    try:
        staged.chmod(0o755)
        (staged / MARKER).touch()
        for name, text in files.items():
            path = staged / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if output.exists():
            shutil.rmtree(output)
        staged.rename(output)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return tuple(output / name for name in files)


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Unified differences, a pair (file, text) for each file that is not the same on both sides."""
    found: list[tuple[str, str]] = []
    for name in sorted({*old, *new}):
        before, after = old.get(name, ""), new.get(name, "")
        if before != after:
            lines = difflib.unified_diff(
                before.splitlines(keepends=True),
                after.splitlines(keepends=True),
                fromfile=f"applied/{name}" if before else "/dev/null",
                tofile=f"wanted/{name}" if after else "/dev/null",
            )
            found.append((name, "".join(lines)))
    return tuple(found)


# What YAML 1.1 or 1.2 could take for a number, a date, a truth value or nothing.
_NOT_PLAINLY_TEXT = re.compile(r"[-+.\d~=<].*|y|n|yes|no|on|off|true|false|null|", re.IGNORECASE | re.DOTALL)


class _Dumper(yaml.SafeDumper):
    """Quotes more than PyYAML does: kubectl reads YAML by other rules, where a bare `no` or `1e3` is no text."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if _NOT_PLAINLY_TEXT.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _text(manifest: Mapping[str, Any]) -> str:
    return yaml.dump(_sorted(manifest), Dumper=_Dumper, sort_keys=False, width=4096)


def _sorted(value: Any) -> Any:
    """Keys in order, apiVersion, kind and metadata first; whole floats (Pulumi's only number) as integers."""
    if isinstance(value, Mapping):
        lead = [key for key in ("apiVersion", "kind", "metadata") if key in value]
        return {key: _sorted(value[key]) for key in [*lead, *sorted(key for key in value if key not in lead)]}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
