"""Mistakes in files that people write: templates, one for each rule that a template can break, and the cell file. Each
is made in a copy of `tenant_templates/`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tenantry.tenancy.catalogue import Catalogue

__all__ = ["CELL_FILE_MISTAKES", "TEMPLATE_MISTAKES", "FileMistake", "mistaken_files"]


@dataclass(frozen=True, slots=True)
class FileMistake:
    """rules: all that it breaks. edits: file below `tenant_templates/` → (right, wrong) text of it; a file that is
    not there has the right text "". tenant: the example that meets it."""

    rules: tuple[str, ...]
    edits: Mapping[str, tuple[str, str]]
    tenant: str = "acme-links"


_SHLINK = "workloads/shlink/v1"


def _workload(rule: str, right: str, wrong: str) -> FileMistake:
    return FileMistake((rule,), {f"{_SHLINK}/workload.yaml": (right, wrong)})


def _cell(*rules: str, right: str, wrong: str) -> FileMistake:
    return FileMistake(rules, {"cells/example.yaml": (right, wrong)}, tenant="globex-bank")


TEMPLATE_MISTAKES = {
    "a release without a fixed tag": _workload(
        "floating-image", '- {name: "4.6.0", tag: 4.6.0}', '- {name: "4.6.0", tag: latest}'
    ),
    "an image from anywhere": _workload(
        "foreign-image", "image: docker.io/shlinkio/shlink", "image: images.example.net/shlink"
    ),
    "a password in the environment": _workload("credential-in-environment", "DB_DRIVER: maria", "DB_PASSWORD: hunter2"),
    "a server without encryption": _workload(
        "plain-connection", "DB_DRIVER: maria", "QUEUE_URL: amqp://queue.example.net"
    ),
    "copies elsewhere, by a schedule": _workload(
        "data-outside-residency",
        "DB_DRIVER: maria",
        "TENANTRY_BACKUP_STORE_URL: https://copies.s3.us-east-1.amazonaws.com",
    ),
    "settings of a database server that seals nothing": FileMistake(
        ("database-not-encrypted",),
        {
            f"{_SHLINK}/workload.yaml": ("scripts: [start.sh]", "scripts: [start.sh, server.cnf]"),
            f"{_SHLINK}/scripts/server.cnf": ("", "[mariadbd]\nrequire_secure_transport = OFF\n"),
        },
    ),
    "a plan that keeps backups for three days": FileMistake(
        ("backup-kept-too-short",), {"plans/starter.yaml": ("keepDaily: 7", "keepDaily: 3")}
    ),
    "a class of environment that may do without backups": FileMistake(
        ("data-without-backup",),
        {
            "environments/staging.yaml": ("backupOptional: false", "backupOptional: true"),
            "examples/acme-links.yaml": ("spec:\n", "spec:\n  backup: {enabled: false}\n"),
        },
    ),
}

CELL_FILE_MISTAKES = {
    "the broker's management without TLS": _cell(
        "plain-connection", right="managementUrl: https://", wrong="managementUrl: http://"
    ),
    "a bucket without TLS": _cell(
        "backup-not-sealed",
        "plain-connection",
        right="url: https://s3.eu-central-1.amazonaws.com",
        wrong="url: http://store.example.org",
    ),
    "a bucket elsewhere": _cell(
        "data-outside-residency", right="url: https://s3.eu-central-1.", wrong="url: https://s3.us-east-1."
    ),
    "images from elsewhere": _cell(
        "foreign-image", right="spec:\n", wrong="spec:\n  images: {sources: [registry.example.org]}\n"
    ),
}


def mistaken_files(folder: Path, mistake: FileMistake) -> Path:
    """A copy of `tenant_templates/` with the mistake, below `folder`."""
    templates = folder / "templates"
    shutil.copytree(Catalogue.root(), templates)
    for name, (right, wrong) in mistake.edits.items():
        path = templates / name
        text = path.read_text(encoding="utf-8") if right else ""
        assert right in text, name
        path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    return templates
