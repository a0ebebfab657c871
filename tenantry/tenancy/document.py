"""Reading one YAML (or JSON) document into a Pydantic model, with every finding at its line.

Used for tenant, cell, plan, environment and workload files alike. What is refused on purpose: more than one
document, duplicate keys, anchors and aliases (a short file could unfold into a huge one), keys that are not text,
files over `MAX_BYTES`, nesting over `MAX_DEPTH`.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, DocumentStartEvent, NodeEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tenantry.tenancy.errors import InvalidInput, Problem

__all__ = [
    "MAX_BYTES",
    "Document",
    "FieldPath",
    "did_you_mean",
    "in_order",
    "parse",
    "path_of",
    "problem_of",
    "read",
    "require_mapping",
    "validate",
]

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40

FieldPath = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed document. keys, values: 1-based (line, column) of each field's name and of its value.

    kept: of a list from which elements at fault were left out, where those that stayed stand in the text.
    """

    source: str
    text: str
    content: Any
    keys: Mapping[FieldPath, tuple[int, int]] = field(default_factory=dict)
    values: Mapping[FieldPath, tuple[int, int]] = field(default_factory=dict)
    kept: Mapping[FieldPath, tuple[int, ...]] = field(default_factory=dict)

    def written(self, path: FieldPath) -> FieldPath:
        """Where the text has a field of what was kept."""
        found: FieldPath = ()
        for part in path:
            place = self.kept.get(found)
            found = (*found, place[part] if place is not None and isinstance(part, int) else part)
        return found

    def problem(self, path: FieldPath, message: str, *, hint: str | None = None, at_key: bool = False) -> Problem:
        """A finding at a field, placed on the nearest field above it that the file really has."""
        path = self.written(path)
        first, second = (self.keys, self.values) if at_key else (self.values, self.keys)
        place = path
        while place and place not in first and place not in second:
            place = place[:-1]
        line, column = first.get(place) or second.get(place) or (None, None)
        return Problem(message=message, path=dotted(path), line=line, column=column, hint=hint)


def dotted(path: FieldPath) -> str:
    """`("spec", "hosts", 0)` → `spec.hosts[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def did_you_mean(word: object, known: Sequence[str], *, what: str = "known") -> str:
    """A hint: the closest known word, or all of them."""
    small = str(word).lower()
    begun = [one for one in known if len(small) > 2 and one.lower().startswith(small)]
    close = get_close_matches(small, [one.lower() for one in known], n=1, cutoff=0.6)
    if len(begun) == 1 or close:
        meant = begun[0] if len(begun) == 1 else next(one for one in known if one.lower() == close[0])
        return f"did you mean {meant}?"
    return f"{what}: {', '.join(sorted(known))}" if known else "nothing is allowed here"


# -- text -----------------------------------------------------------------------------------------------------


def read(path: Path) -> str:
    """The text of a file. Raises InvalidInput when it is missing, unreadable, too big or not text."""
    source = str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InvalidInput("there is no such file", source=source, hint="check the path") from None
    except IsADirectoryError:
        raise InvalidInput("this is a folder, not a file", source=source, hint="name a file in it") from None
    except PermissionError:
        raise InvalidInput(
            "the file cannot be read: permission denied", source=source, hint="give yourself read permission"
        ) from None
    except OSError as error:
        raise InvalidInput(f"the file cannot be read: {error.strerror}", source=source, hint="check the path") from None
    if len(raw) > MAX_BYTES:
        raise InvalidInput(
            f"the file is larger than {MAX_BYTES // 1024} KiB", source=source, hint="a file of ours has a few KiB"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        problem = Problem(message=f"byte {error.start} is not UTF-8", line=line)
        raise InvalidInput(
            "the file is not text", source=source, problems=(problem,), hint="write YAML or JSON, encoded in UTF-8"
        ) from None
    if "\0" in text:
        raise InvalidInput("the file is not text", source=source, hint="write YAML or JSON, encoded in UTF-8")
    return text


def parse(text: str, *, source: str) -> Document:
    """Parse one document. Raises InvalidInput with line and column."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    try:
        refused = _refused(yaml, text)
        if refused is not None:
            raise InvalidInput("the document cannot be accepted", source=source, problems=(refused,))
        node = yaml.compose(text)
        if node is None:
            raise InvalidInput("the document is empty", source=source, hint="see docs/tenant-file.md")
        keys: dict[FieldPath, tuple[int, int]] = {}
        values: dict[FieldPath, tuple[int, int]] = {}
        found = tuple(_positions(node, (), keys, values))
        if found:
            raise InvalidInput("the document cannot be accepted", source=source, problems=found)
        content = yaml.constructor.construct_document(node)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = Problem(
            message=error.problem or error.context or "syntax error",
            line=None if mark is None else mark.line + 1,
            column=None if mark is None else mark.column + 1,
        )
        raise InvalidInput(
            "the file is not well-formed YAML", source=source, problems=(problem,), hint="check indentation and quotes"
        ) from None
    except (YAMLError, ValueError) as error:
        raise InvalidInput(
            "the file is not well-formed YAML", source=source, problems=(Problem(message=str(error).splitlines()[0]),)
        ) from None
    return Document(source=source, text=text, content=content, keys=keys, values=values)


class _Constructor(SafeConstructor):
    """Leaves dates as text, so that a wrong one is a finding in its field and not a syntax error."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)


def _refused(yaml: YAML, text: str) -> Problem | None:
    """The first thing in the event stream that we do not take, before anything is built from it."""
    documents = depth = 0
    for event in yaml.parse(text):
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                return Problem(
                    message="a second document begins here", line=line, column=column, hint="one document a file"
                )
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor is not None):
            return Problem(
                message="anchors and aliases are not accepted", line=line, column=column, hint="write the value out"
            )
        depth += {"MappingStartEvent": 1, "SequenceStartEvent": 1, "MappingEndEvent": -1, "SequenceEndEvent": -1}.get(
            type(event).__name__, 0
        )
        if depth > MAX_DEPTH:
            return Problem(message=f"nested deeper than {MAX_DEPTH} levels", line=line, column=column)
    return None


def _positions(
    node: Node, path: FieldPath, keys: dict[FieldPath, tuple[int, int]], values: dict[FieldPath, tuple[int, int]]
) -> Iterator[Problem]:
    """Note where everything stands; yield keys that are doubled or not text."""
    values[path] = _place(node)
    if isinstance(node, MappingNode):
        for key, value in node.value:
            line, column = _place(key)
            if not isinstance(key, ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                yield Problem(
                    message=f"the key {getattr(key, 'value', '')!r} is not text",
                    path=dotted(path),
                    line=line,
                    column=column,
                    hint="put it in quotes",
                )
                continue
            here = (*path, key.value)
            if here in keys:
                yield Problem(
                    message=f"{key.value} stands here twice; first in line {keys[here][0]}",
                    path=dotted(here),
                    line=line,
                    column=column,
                    hint="keep one of the two",
                )
                continue
            keys[here] = (line, column)
            yield from _positions(value, here, keys, values)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield from _positions(value, (*path, index), keys, values)


def _place(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


# -- models ---------------------------------------------------------------------------------------------------


def validate(document: Document, model: type[Model], *, noun: str) -> Model:
    """The document as `model`. noun: what the file is, for the message. Raises InvalidInput with every problem."""
    require_mapping(document, noun=noun)
    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        problems = [problem_of(document, model, one) for one in error.errors(include_url=False)]
    raise InvalidInput(f"{noun} cannot be accepted", source=document.source, problems=in_order(problems))


def require_mapping(document: Document, *, noun: str) -> None:
    """Raises InvalidInput for a text, a number or a list."""
    if not isinstance(document.content, dict):
        raise InvalidInput(
            f"this is not {noun}: a mapping is expected",
            source=document.source,
            hint="begin with apiVersion: tenantry.dev/v1alpha1",
        )


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """As the file has them."""
    return tuple(sorted(problems, key=lambda one: (one.line or 0, one.column or 0, one.path)))


def path_of(error: Any) -> FieldPath:
    """The field that one of Pydantic's errors is about."""
    return tuple(part for part in error["loc"] if part != "[key]")


def problem_of(document: Document, model: type[BaseModel], error: Any) -> Problem:
    """One of Pydantic's errors, in our words and at its line."""
    kind = str(error["type"])
    path = path_of(error)
    context = error.get("ctx", {})
    if kind == "extra_forbidden":
        hint = did_you_mean(path[-1], _fields_at(model, path[:-1]), what="known fields")
        return document.problem(path, f"unknown field {path[-1]}", hint=hint, at_key=True)
    if kind == "missing":
        return document.problem(path, f"{path[-1]} is required", at_key=True)
    if kind in ("enum", "literal_error"):
        known = [part.strip(" '") for part in str(context["expected"]).replace(" or ", ",").split(",")]
        return document.problem(
            path, f"{error['input']!r} is not allowed here", hint=did_you_mean(error["input"], known, what="allowed")
        )
    wanted = _WANTED.get(kind)
    if wanted is not None:
        return document.problem(path, f"must be {wanted}, not {_shown(error['input'])}")
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    return document.problem(path, message, hint=context.get("hint"))


_WANTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "date_from_datetime_parsing": "a date such as 2030-01-31",
    "date_parsing": "a date such as 2030-01-31",
    "date_type": "a date such as 2030-01-31",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "model_type": "a mapping",
    "string_type": "text",
    "tuple_type": "a list",
}


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields_at(model: type[BaseModel], path: FieldPath) -> list[str]:
    """Names of the fields that a file may have at `path`; [] where any name goes."""
    kind: Any = model
    for part in path:
        kind = _without_none(kind)
        arguments = typing.get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = next((one.annotation for name, one in kind.model_fields.items() if part in (name, one.alias)), None)
        elif isinstance(part, int) and arguments:
            kind = arguments[0]
        else:
            kind = arguments[-1] if arguments else None
    kind = _without_none(kind)
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    return [one.alias or name for name, one in kind.model_fields.items()]


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next(one for one in typing.get_args(kind) if one is not type(None))
    return kind
