"""Cloud files: what is refused and where it says so, and names that every AWS service takes."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cloud import Cloud, load_authorities, load_cloud
from tenantry.tenancy.cloud_cell import Made, cell_of, cell_text
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.manifest import load_cell
from tenantry_components.cloud_network import data_range, layers

EXAMPLE = Catalogue.root() / "cells" / "aws-example.yaml"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
cell_names = st.from_regex(r"[a-z](-?[a-z0-9]){0,28}", fullmatch=True).filter(lambda one: len(one) <= 29)

MADE = Made(
    data_range="10.64.224.0/20",
    database_host="tenantry-eu-one.abc.eu-central-1.rds.amazonaws.com",
    database_secret="arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-1",
    database_subnet_group="tenantry-eu-one",
    database_security_group="sg-1",
    rds_domain="abc.eu-central-1.rds.amazonaws.com",
    cache_host="master.tenantry-eu-one.cache.amazonaws.com",
    cache_user_group="tenantry-eu-one",
    messaging_host="b-1.mq.eu-central-1.on.aws",
    management_url="https://b-1.mq.eu-central-1.on.aws",
    backups_url="https://s3.eu-central-1.amazonaws.com/tenantry-eu-one-123456789012",
)


def edited(tmp_path: Path, before: str, after: str) -> Path:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert before in text
    path = tmp_path / "cloud.yaml"
    path.write_text(text.replace(before, after), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        pytest.param("name: eu-one", "name: eu--one", "metadata.name", id="two hyphens, which AWS refuses"),
        pytest.param('"123456789012"', '"1234"', "spec.account", id="an account number cut short"),
        pytest.param("region: eu-central-1", "region: frankfurt", "spec.region", id="no AWS region"),
        pytest.param("zones: [a, b, c]", "zones: [a, b]", "spec.zones", id="two zones"),
        pytest.param("zones: [a, b, c]", "zones: [a, b, b]", "spec.zones", id="a zone twice"),
        pytest.param("cidr: 10.64.0.0/16", "cidr: 52.0.0.0/16", "spec.network.cidr", id="public addresses"),
        pytest.param("cidr: 10.64.0.0/16", "cidr: 10.64.0.0/24", "spec.network.cidr", id="too few addresses"),
        pytest.param("[10.0.0.0/16]", "[0.0.0.0/0]", "spec.network.adminCidrs[0]", id="the world as administrators"),
        pytest.param("nodesMin: 3", "nodesMin: 2", "spec.cluster.nodesMin", id="fewer nodes than zones"),
        pytest.param("nodesMax: 12", "nodesMax: 2", "spec.cluster", id="fewer nodes at most than at least"),
        pytest.param("storage: 200Gi", "storage: 200", "spec.database.storage", id="storage without a unit"),
        pytest.param("backupDays: 14", "backupDays: 1", "spec.database.backupDays", id="a day of backups"),
        pytest.param("lockMode: governance", "lockMode: none", "spec.backups.lockMode", id="no lock"),
        pytest.param("costCenter: marketing-platform", "costCentre: x", "spec.costCentre", id="an unknown field"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, before: str, after: str, where: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        load_cloud(edited(tmp_path, before, after))
    assert where in [problem.path for problem in refused.value.problems]
    assert all(problem.line for problem in refused.value.problems)
    assert refused.value.exit_code == 2


def test_authorities_are_read_beside_the_file(tmp_path: Path) -> None:
    cloud = load_cloud(EXAMPLE)
    for name in cloud.spec.authority_files:
        (tmp_path / name).write_text(CERTIFICATE)
    assert load_authorities(cloud, tmp_path) == CERTIFICATE * 3


@pytest.mark.parametrize("text", [None, "<html>not found</html>"], ids=["a missing file", "a page instead of PEM"])
def test_a_wrong_authority_is_named(tmp_path: Path, text: str | None) -> None:
    cloud = load_cloud(EXAMPLE)
    first = tmp_path / cloud.spec.authority_files[0]
    if text is not None:
        first.write_text(text)
    with pytest.raises(InvalidInput) as refused:
        load_authorities(cloud, tmp_path)
    assert refused.value.source == str(first)


@given(cell_names)
def test_names_fit_every_service(name: str) -> None:
    content = YAML(typ="safe").load(EXAMPLE.read_text(encoding="utf-8"))
    cloud = Cloud.model_validate({**content, "metadata": {"name": name}})
    assert re.fullmatch(r"[a-z](-?[a-z0-9]){0,39}", cloud.prefix), "ElastiCache: 40 characters, single hyphens"
    assert re.fullmatch(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", cloud.bucket), "S3: 63 characters"
    assert len(f"default-{name}") <= 40, "an ElastiCache user"
    assert len(f"{cloud.prefix}-administrators") <= 64, "a security group or role"


@given(st.integers(0, 255), st.sampled_from([16, 17, 18]))
def test_the_layers_share_the_network_without_overlap(second: int, prefix: int) -> None:
    network = ipaddress.IPv4Network(f"10.{second}.0.0/{prefix}")
    found = layers(str(network))
    ranges = [ipaddress.IPv4Network(one) for layer in found.values() for one in layer]
    assert [len(layer) for layer in found.values()] == [3, 3, 3]
    assert all(one.subnet_of(network) for one in ranges)
    assert not [1 for i, one in enumerate(ranges) for other in ranges[i + 1 :] if one.overlaps(other)]
    data = ipaddress.IPv4Network(data_range(str(network)))
    assert {str(one) for one in ranges if one.overlaps(data)} == set(found["data"])


def test_the_cell_file_reads_back_as_the_same_cell(tmp_path: Path) -> None:
    cell = cell_of(load_cloud(EXAMPLE), MADE, authorities=CERTIFICATE)
    path = tmp_path / "cell.yaml"
    path.write_text(cell_text(cell), encoding="utf-8")
    assert load_cell(path) == cell
