"""What all dynamic providers of Tenantry share: upserts by identity, and an honest `read`.

The Pulumi CLI runs these classes in its own provider process, the embedded engine in its workers. They have no
state and stand in importable modules, so that their pickle is a reference, the same text on every machine.
`create` and `update` are one operation, `ensure`: what a killed run left is taken over. `delete` succeeds on
what is already gone. Admin credentials never come as inputs; see `openbao_server` and `mariadb_server`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)
from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["Inputs", "UpsertProvider"]

_PROVIDER_KEY = "__provider"


class Inputs(BaseModel):
    """Base of a resource's inputs; numbers may arrive as floats, since Pulumi has no integers."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Wanted = TypeVar("Wanted", bound=Inputs)


class UpsertProvider(ResourceProvider, ABC, Generic[Wanted]):
    """Subclasses say what exists; this class says it in Pulumi's words.

    model: the inputs. identity: fields that name the thing; a change of one replaces it, delete first, because
    the old and the new often exclude each other. Outputs are the inputs: nothing secret, nothing that moves.
    """

    serialize_as_secret_always = False  # the pickle is a class reference; encrypting it would hide nothing
    model: ClassVar[type[Inputs]]
    identity: ClassVar[tuple[str, ...]]
    holds_data: ClassVar[bool] = False
    """Whether data or keys are lost with the thing, so that an empty one in its place is none."""

    @abstractmethod
    def ensure(self, wanted: Wanted) -> None:
        """Make the live thing what `wanted` says, whatever is there. Raises tenancy errors."""

    @abstractmethod
    def observe(self, wanted: Wanted) -> Mapping[str, Any] | None:
        """The live values of the input fields, or None when the thing is absent. Reads only."""

    @abstractmethod
    def remove(self, wanted: Wanted) -> None:
        """Destroy the thing; absent is success."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        try:
            self.model.model_validate(_plain(news))
        except ValidationError as error:
            failures = [
                CheckFailure(".".join(str(part) for part in problem["loc"]), problem["msg"])
                for problem in error.errors(include_url=False, include_input=False)
            ]
            return CheckResult(news, failures)
        return CheckResult(news, [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        olds, news = _plain(_olds), _plain(_news)
        changed = sorted(name for name in olds.keys() | news.keys() if olds.get(name) != news.get(name))
        return DiffResult(
            changes=bool(changed),
            replaces=[name for name in changed if name in self.identity],
            stables=list(self.identity),
            delete_before_replace=True,
        )

    def create(self, props: dict[str, Any]) -> CreateResult:
        self.ensure(self._parse(props))
        return CreateResult("/".join(str(props[name]) for name in self.identity), _plain(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        self.ensure(self._parse(_news))
        return UpdateResult(_plain(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        live = self.observe(self._parse(props))
        if live is None:
            return ReadResult("", {})
        found = {**_plain(props), **live}
        return ReadResult(id_, found, dict(found))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        self.remove(self._parse(_props))

    def _parse(self, props: Mapping[str, Any]) -> Wanted:
        return self.model.model_validate(_plain(props))  # type: ignore[return-value]


def _plain(props: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in props.items() if name != _PROVIDER_KEY}
