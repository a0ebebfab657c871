"""What is to be done about one object: tables, and what must hold for any."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.engine.effects import kubernetes_effect, replaces
from tenantry.engine.interface import Effect, Op
from tenantry.engine.judging import after_dry_run, ignoring, judge_kubernetes
from tenantry.engine.properties import Secret, differing_paths, matches, plain
from tenantry.engine.spelling import alike

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=3),
    max_leaves=8,
)


def config(data: dict[str, str], version: str = "1") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "n", "resourceVersion": version},
        "data": data,
    }


def wanted(data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": data}


@pytest.mark.parametrize(
    ("recorded", "live", "op"),
    [
        pytest.param(None, None, Op.CREATE, id="nothing is there: create"),
        pytest.param({"a": "1"}, None, Op.CREATE, id="it was deleted outside: create again"),
        pytest.param({"a": "1"}, config({"a": "1"}), Op.SAME, id="nothing moved: same"),
        pytest.param({"a": "1"}, config({"a": "1"}, "2"), Op.SAME, id="only the version moved: same"),
        pytest.param({"a": "1"}, config({"a": "1", "b": "x"}, "2"), Op.SAME, id="a field of others appeared: same"),
        pytest.param({"a": "1"}, config({"a": "2"}, "2"), Op.UPDATE, id="our field was changed: update"),
        pytest.param({"a": "0"}, config({"a": "0"}), Op.UPDATE, id="the program wants another value: update"),
    ],
)
def test_a_config_map(recorded: dict[str, str] | None, live: dict[str, Any] | None, op: Op) -> None:
    verdict = judge_kubernetes(
        wanted({"a": "1"}),
        recorded=None if recorded is None else wanted(recorded),
        outputs={} if recorded is None else config(recorded),
        live=live,
    )
    assert verdict.op is op


def autoscaler(most: int, metric: str = "cpu", **written: str) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "n", **written},
        "spec": {"minReplicas": 1, "maxReplicas": most, "metrics": [{"type": metric}]},
    }


@pytest.mark.parametrize(
    ("recorded", "live", "op"),
    [
        pytest.param(autoscaler(5), autoscaler(2, resourceVersion="2"), Op.SAME, id="a campaign narrowed it"),
        pytest.param(
            autoscaler(5), autoscaler(5, "memory", resourceVersion="2"), Op.UPDATE, id="another field was changed"
        ),
        pytest.param(autoscaler(3), autoscaler(2, resourceVersion="2"), Op.UPDATE, id="another plan allows more"),
    ],
)
def test_between_what_an_autoscaler_chooses_counts_against_what_was_wanted_before_alone(
    recorded: dict[str, Any], live: dict[str, Any], op: Op
) -> None:
    verdict = judge_kubernetes(autoscaler(5), recorded=recorded, outputs=recorded, live=live)
    assert verdict.op is op


@pytest.mark.parametrize("live", [None, config({"a": "1"})], ids=["nothing is at the new place", "something is"])
def test_an_object_that_gets_another_name_is_replaced(live: dict[str, Any] | None) -> None:
    renamed = wanted({"a": "1"}) | {"metadata": {"name": "d", "namespace": "n"}}
    verdict = judge_kubernetes(renamed, recorded=wanted({"a": "1"}), outputs=config({"a": "1"}), live=live)
    assert verdict.op is Op.REPLACE
    assert verdict.reason == "metadata.name cannot be changed in place"


def test_an_object_that_was_not_ready_is_awaited_again() -> None:
    verdict = judge_kubernetes(wanted({}), recorded=wanted({}), outputs=config({}), live=config({}), unfinished=True)
    assert verdict.op is Op.UPDATE


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        pytest.param({"storage": "8192Mi"}, {"storage": "8Gi"}, True, id="a size in another unit"),
        pytest.param({"cpu": "1000m"}, {"cpu": "1"}, True, id="a whole core"),
        pytest.param({"cpu": "1000m"}, {"cpu": "1001m"}, False, id="another amount"),
        pytest.param({"egress": [], "a": {}}, {}, True, id="nothing left out"),
        pytest.param({"delay": 0}, {}, True, id="a zero left out"),
        pytest.param({"delay": 1}, {}, False, id="a one left out"),
        pytest.param([{"a": "1"}], [{"a": "1"}, {}], False, id="a longer list"),
        pytest.param({"a": "Gi"}, {"a": "Mi"}, False, id="units without a number are text"),
    ],
)
def test_another_spelling_is_not_another_object(left: Any, right: Any, same: bool) -> None:
    assert alike(left, right) is alike(right, left) is same


@given(values)
def test_whatever_is_equal_is_alike(value: Any) -> None:
    assert alike(value, value)
    assert alike(Secret(value), value)


def test_another_spelling_is_confirmed_by_the_api_server() -> None:
    asked = judge_kubernetes(
        wanted({"a": "1Gi"}), recorded=wanted({"a": "1024Mi"}), outputs=config({}), live=config({"a": "1024Mi"})
    )
    assert asked.ask
    assert after_dry_run(asked, wanted({"a": "1Gi"}), config({"a": "1Gi"}), config({"a": "1Gi"})).op is Op.SAME
    assert after_dry_run(asked, wanted({"a": "1Gi"}), config({"a": "1024Mi"}), config({"a": "1Gi"})).op is Op.UPDATE


def test_a_change_that_the_cluster_cannot_make_in_place_is_a_replacement() -> None:
    asked = judge_kubernetes(
        wanted({"a": "2"}), recorded=wanted({"a": "1"}), outputs=config({"a": "1"}), live=config({"a": "1"})
    )
    assert asked.ask
    assert after_dry_run(asked, wanted({"a": "2"}), config({"a": "1"}), None).op is Op.REPLACE


def test_an_ignored_field_keeps_its_recorded_value() -> None:
    assert ignoring({"spec": {"replicas": 1, "a": 1}}, {"spec": {"replicas": 5}}, ("spec.replicas",)) == {
        "spec": {"replicas": 5, "a": 1}
    }
    assert ignoring({"spec": {"replicas": 1}}, {"spec": {}}, ("spec.replicas",)) == {"spec": {}}


@pytest.mark.parametrize(
    ("op", "kind", "paths", "effect"),
    [
        pytest.param(Op.UPDATE, "Deployment", ("spec.template.spec",), Effect.RESTART, id="a pod template restarts"),
        pytest.param(Op.UPDATE, "Deployment", ("metadata.labels.a",), Effect.IN_PLACE, id="a label does not"),
        pytest.param(Op.UPDATE, "ConfigMap", ("data.a",), Effect.IN_PLACE, id="configuration is changed in place"),
        pytest.param(Op.DELETE, "Ingress", (), Effect.DOWNTIME, id="without its ingress nobody comes in"),
        pytest.param(Op.DELETE, "ConfigMap", (), Effect.IN_PLACE, id="a config map is not missed"),
        pytest.param(Op.DELETE, "PersistentVolumeClaim", (), Effect.DATA_LOSS, id="a claim holds data"),
        pytest.param(Op.REPLACE, "Namespace", (), Effect.DATA_LOSS, id="a namespace holds everything"),
        pytest.param(Op.CREATE, "Deployment", (), Effect.NONE, id="something new disturbs nothing"),
    ],
)
def test_effects(op: Op, kind: str, paths: tuple[str, ...], effect: Effect) -> None:
    assert kubernetes_effect(op, {"kind": kind}, paths) is effect


def test_immutable_fields_are_found_below_and_above() -> None:
    assert replaces("Deployment", ("spec.selector.matchLabels.app", "spec.replicas")) == (
        "spec.selector.matchLabels.app",
    )
    assert replaces("ConfigMap", ("data.a",)) == ()
    assert replaces("ConfigMap", ("metadata.name",)) == ("metadata.name",)


@given(values, values)
def test_values_differ_somewhere_exactly_when_they_do_not_match(left: Any, right: Any) -> None:
    assert bool(list(differing_paths({"v": left}, {"v": right}))) is not matches(left, right)


@given(values)
def test_a_secret_matches_its_plain_value_and_is_never_shown(value: Any) -> None:
    assert matches(Secret(value), value)
    assert plain(Secret(value)) == plain(value)
    assert repr(Secret(value)) == "[secret]"


@pytest.mark.parametrize(("kind", "op"), [("NetworkPolicy", Op.UPDATE), ("Service", Op.SAME)])
def test_a_field_that_others_added_counts_where_it_opens_or_closes_what_the_object_guards(kind: str, op: Op) -> None:
    asked = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "n"}, "spec": {"podSelector": {}}}
    left = {**asked, "metadata": {"name": "n", "resourceVersion": "1"}, "spec": {"podSelector": {}, "types": ["a"]}}
    live = {
        **asked,
        "metadata": {"name": "n", "resourceVersion": "2", "labels": {"theirs": "x"}},
        "spec": {"podSelector": {"matchLabels": {"x": "y"}}, "types": ["a"]},
    }
    verdict = judge_kubernetes(asked, recorded=asked, outputs=left, live=live)
    assert verdict.op is op
    assert verdict.paths == (("spec.podSelector.matchLabels",) if op is Op.UPDATE else ())
    labelled = {**left, "metadata": live["metadata"]}
    assert judge_kubernetes(asked, recorded=asked, outputs=left, live=labelled).op is Op.SAME
