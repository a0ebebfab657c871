"""The pack as the embedded engine calls it, by reference, and `tenantry policy check` through the fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tenantry.engine.desired import DesiredResource
from tenantry.engine.properties import Secret, contains_secret, plain
from tenantry.tenancy.judgement import Judgement
from tenantry_policies.judging import judge
from tenantry_policies.view import Resource

__all__ = ["judge_desired"]


def judge_desired(resources: Sequence[DesiredResource]) -> Judgement:
    """Judge what a program asks for. Secret values are looked at, and never repeated in a message."""
    real = [one for one in resources if not one.is_logical]
    judgement = judge(
        Resource(
            urn=one.urn,
            type=one.type,
            name=one.name,
            inputs=_visible(one.inputs),
            protect=one.protect,
            refers=frozenset(one.references),
        )
        for one in real
    )
    if not judgement.inputs:
        return judgement
    inputs = {one.urn: _hidden(judgement.inputs[one.urn], one.inputs) for one in real if one.urn in judgement.inputs}
    return replace(judgement, inputs=inputs)


def _visible(inputs: Any) -> Any:
    return plain(inputs) if contains_secret(inputs) else inputs


def _hidden(inputs: Any, original: Any) -> Any:
    """The inputs with everything secret again that was secret in the original."""
    if isinstance(original, Secret):
        return Secret(inputs)
    if isinstance(inputs, Mapping) and isinstance(original, Mapping):
        return {key: _hidden(value, original.get(key)) for key, value in inputs.items()}
    if isinstance(inputs, list) and isinstance(original, list) and len(inputs) == len(original):
        return [_hidden(value, other) for value, other in zip(inputs, original, strict=True)]
    return inputs
