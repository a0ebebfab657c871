"""Rendered manifests: deterministic, and read by kubectl (YAML 1.1) as they were meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tenantry.fleet.manifests import differences, to_files, write_tree
from tenantry.tenancy.errors import InvalidInput

DEPLOYMENT = {
    "kind": "Deployment",
    "spec": {"replicas": 2.0, "command": ["redis-server", "--save", "no", "y"]},
    "metadata": {"namespace": "t-acme", "name": "web"},
    "apiVersion": "apps/v1",
}


def test_the_file_is_named_for_the_object_and_begins_with_what_it_is() -> None:
    files = to_files([DEPLOYMENT, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "t-acme"}}])
    assert list(files) == ["_cluster/namespace-t-acme.yaml", "t-acme/deployment-web.yaml"]
    assert files["t-acme/deployment-web.yaml"].startswith("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n")
    assert "replicas: 2\n" in files["t-acme/deployment-web.yaml"]


@pytest.mark.parametrize("word", ["no", "on", "y", "N", "true", "1e3", "0x1f", "null", "~", "12:30:45"])
def test_a_text_that_looks_like_something_else_is_quoted(word: str) -> None:
    (text,) = to_files([DEPLOYMENT | {"spec": {"word": word}}]).values()
    assert f"word: '{word}'" in text


@given(st.dictionaries(st.text("ab.-", min_size=1), st.text(st.characters(codec="utf-8")), max_size=5))
def test_every_text_comes_back_as_it_was(values: dict[str, str]) -> None:
    (text,) = to_files([DEPLOYMENT | {"spec": {"values": values}}]).values()
    assert yaml.safe_load(text)["spec"]["values"] == values


def test_a_tree_is_replaced_whole_but_a_strangers_folder_is_refused(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write_tree({"a/one.yaml": "1", "a/two.yaml": "2"}, tree)
    write_tree({"a/one.yaml": "1"}, tree)
    assert [path.name for path in (tree / "a").iterdir()] == ["one.yaml"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidInput, match="was not made by"):
        write_tree({"a/one.yaml": "1"}, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_differences_name_only_what_is_not_the_same() -> None:
    found = differences({"same": "x\n", "gone": "y\n", "edited": "a\n"}, {"same": "x\n", "new": "z\n", "edited": "b\n"})
    assert [name for name, _ in found] == ["edited", "gone", "new"]
    assert "-a\n+b\n" in found[0][1]
