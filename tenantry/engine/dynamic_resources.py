"""Dynamic resources: providers written in Python, called in this process.

`__provider` is a base64 dill pickle of the provider, by reference to an importable class. An instance is kept per
pickle, so a provider may keep its API client. Providers get and give plain values; secretness is put back on their
outputs where the inputs had it.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import dill  # type: ignore[import-untyped]
from pulumi.dynamic import Config, ConfigureRequest, DiffResult, ResourceProvider

from tenantry.engine.interface import Effect
from tenantry.engine.properties import Secret, contains_secret, matches, plain
from tenantry.tenancy.errors import InvalidInput, Problem, RunFailed, TenantryError

__all__ = ["DynamicResources", "Made"]

_KEY = "__provider"
_Result = TypeVar("_Result")
_providers: dict[tuple[str, tuple[tuple[str, str], ...]], ResourceProvider] = {}
_providers_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a provider says of a resource that exists. outputs: with the secretness of the inputs."""

    id: str
    outputs: Mapping[str, Any]


class DynamicResources:
    """config: the stack's, handed to providers that configure themselves."""

    def __init__(self, project: str, config: Mapping[str, str]) -> None:
        self._project = project
        self._config = dict(config)

    def effect_without(self, inputs: Mapping[str, Any], *, kept: bool) -> Effect:
        """What the loss of a resource means. kept: it is protected or retained. A provider says by `holds_data = True`
        that deleting its resource loses data or keys."""
        holds_data = kept or bool(getattr(self._provider(inputs), "holds_data", False))
        return Effect.DATA_LOSS if holds_data else Effect.DOWNTIME

    def check(self, title: str, olds: Mapping[str, Any], news: Mapping[str, Any]) -> None:
        """Raises InvalidInput with the provider's findings."""
        result = self._call(title, lambda: self._provider(news).check(_bare(olds), _bare(news)))
        if result.failures:
            raise InvalidInput(
                f"{title} has unusable properties",
                source=title,
                problems=tuple(Problem(message=one.reason, path=one.property) for one in result.failures),
            )

    def diff(self, title: str, id_: str, olds: Mapping[str, Any], news: Mapping[str, Any]) -> DiffResult:
        result: DiffResult = self._call(title, lambda: self._provider(news).diff(id_, _bare(olds), _bare(news)))
        return result

    def create(self, title: str, inputs: Mapping[str, Any]) -> Made:
        result = self._call(title, lambda: self._provider(inputs).create(_bare(inputs)))
        return Made(id=str(result.id), outputs=_outputs(inputs, result.outs or {}))

    def update(self, title: str, id_: str, olds: Mapping[str, Any], news: Mapping[str, Any]) -> Made:
        result = self._call(title, lambda: self._provider(news).update(id_, _bare(olds), _bare(news)))
        return Made(id=id_, outputs=_outputs(news, result.outs or {}))

    def read(self, title: str, id_: str, state: Mapping[str, Any]) -> Made | None:
        """The resource as it is, None when it does not exist any more."""
        result = self._call(title, lambda: self._provider(state).read(id_, _bare(state)))
        if not result.id:
            return None
        return Made(id=str(result.id), outputs=_outputs(state, result.outs or {}))

    def delete(self, title: str, id_: str, state: Mapping[str, Any]) -> None:
        self._call(title, lambda: self._provider(state).delete(id_, _bare(state)))

    def drifted(self, inputs: Mapping[str, Any], made: Made) -> tuple[str, ...]:
        """Input properties whose live value is another one."""
        return tuple(
            sorted(
                key
                for key, value in inputs.items()
                if key != _KEY and key in made.outputs and not matches(value, made.outputs[key])
            )
        )

    def _provider(self, state: Mapping[str, Any]) -> ResourceProvider:
        text = plain(state.get(_KEY))
        key = (str(text), tuple(sorted(self._config.items())))
        with _providers_lock:
            if key not in _providers:
                try:
                    provider: ResourceProvider = dill.loads(base64.b64decode(key[0]))  # noqa: S301 (our own state)
                except Exception as error:
                    raise RunFailed(
                        f"a dynamic provider cannot be loaded: {type(error).__name__}",
                        hint="it must be a class in an importable module, at the version that made the state",
                    ) from error
                provider.configure(ConfigureRequest(config=Config(raw_config=self._config, project_name=self._project)))
                _providers[key] = provider
            return _providers[key]

    def _call(self, title: str, call: Callable[[], _Result]) -> _Result:
        try:
            return call()
        except TenantryError:
            raise
        except Exception as error:
            # Only the type: a client's error text may quote a statement or a request with a secret in it.
            raise RunFailed(
                f"{title}: its provider failed ({type(error).__name__})",
                where=title,
                hint="look at the log of the system that it manages, then run again",
            ) from error


def _bare(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {key: plain(value) for key, value in properties.items()}


def _outputs(inputs: Mapping[str, Any], outs: Mapping[str, Any]) -> dict[str, Any]:
    outputs = {}
    for key, value in {**outs, _KEY: inputs[_KEY]}.items():
        secret = key in inputs and contains_secret(inputs[key]) and not isinstance(value, Secret)
        outputs[key] = Secret(value) if secret else value
    return outputs
