"""What breaks callers between two versions of the contract, operation by operation.

Breaking: an operation, parameter, media type, answer, header or member of an answer that is
gone, anything newly required or no longer taken, and a role that may no longer call. Callers
pass over members and values that they do not know, so new ones in answers break nobody.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Schema = Mapping[str, Any]
_METHODS: Final = ("get", "put", "post", "delete", "patch")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_EXACT: Final = ("pattern", "format", "multipleOf", "uniqueItems")
_DECLARED: Final = re.compile(r"`(GET|PUT|POST|DELETE|PATCH) (/\S+)`")


@dataclass(frozen=True, slots=True, order=True)
class Break:
    """One thing that breaks callers of an operation."""

    method: str
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.what}"


def breaks(old: Schema, new: Schema) -> list[Break]:
    """Return what breaks callers of the old contract, in order."""
    comparison = _Comparison(old, new)
    return sorted(
        Break(method.upper(), path, what)
        for path, operations in old["paths"].items()
        for method in _METHODS
        if method in operations
        for what in comparison.operation(operations[method], new["paths"].get(path, {}).get(method))
    )


def undeclared(found: Iterable[Break], changelog: str) -> list[Break]:
    """Return the breaks that the newest section of a changelog does not list as breaking."""
    newest = changelog.partition("\n## ")[2].partition("\n## ")[0]
    listed = newest.partition("**Breaking**")[2].partition("\n**")[0]
    declared = set(_DECLARED.findall(listed))
    return [one for one in found if (one.method, one.path) not in declared]


def read_changelog(root: Path) -> str:
    """Return the changelog of a checkout."""
    return (root / "CHANGELOG.md").read_text(encoding="utf-8")


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new

    def operation(self, old: Schema, new: Schema | None) -> Iterator[str]:
        if new is None:
            yield "the operation is gone"
            return
        yield from self._roles(old, new)
        yield from self._parameters(old, new)
        yield from self._request(old.get("requestBody"), new.get("requestBody"))
        for status, answer in old["responses"].items():
            if status.startswith("2"):
                yield from self._answer(status, answer, new["responses"].get(status))

    def _roles(self, old: Schema, new: Schema) -> Iterator[str]:
        if "x-roles" in new and "x-roles" not in old:
            yield "a token is needed now"
        for role in sorted(set(old.get("x-roles", ())) - set(new.get("x-roles", ()))):
            if "x-roles" in new:
                yield f"the role {role} may no longer call it"

    def _parameters(self, old: Schema, new: Schema) -> Iterator[str]:
        before = {(one["in"], one["name"]): one for one in old.get("parameters", ())}
        after = {(one["in"], one["name"]): one for one in new.get("parameters", ())}
        for key, parameter in before.items():
            if key not in after:
                yield f"the {key[0]} parameter {key[1]} is gone"
                continue
            at = f"the {key[0]} parameter {key[1]}"
            yield from self._taken(parameter["schema"], after[key]["schema"], at)
        for key, parameter in after.items():
            was = before.get(key, {}).get("required", False)
            if parameter.get("required") and not was:
                yield f"the {key[0]} parameter {key[1]} is required now"

    def _request(self, old: Schema | None, new: Schema | None) -> Iterator[str]:
        if new is None:
            return
        if new.get("required") and not (old or {}).get("required"):
            yield "a body is required now"
        for media_type, content in (old or {}).get("content", {}).items():
            if media_type not in new["content"]:
                yield f"{media_type} is no longer taken"
            else:
                after = new["content"][media_type]["schema"]
                yield from self._taken(content["schema"], after, "the body")

    def _answer(self, status: str, old: Schema, new: Schema | None) -> Iterator[str]:
        if new is None:
            yield f"it no longer answers {status}"
            return
        for name in sorted(old.get("headers", {}).keys() - new.get("headers", {}).keys()):
            yield f"the header {name} of {status} is gone"
        for media_type, content in old.get("content", {}).items():
            if media_type not in new.get("content", {}):
                yield f"{status} is no longer answered as {media_type}"
            else:
                after = new["content"][media_type]["schema"]
                fit = _Fit(self._new, self._old, is_answer=True)
                yield from fit.faults(after, content["schema"], f"the answer {status}")

    def _taken(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        return _Fit(self._old, self._new, is_answer=False).faults(old, new, at)


class _Fit:
    """Tells why what one schema describes is not all described by another.

    Of a request the old must fit the new, of an answer the new must fit the old.
    """

    def __init__(self, given_in: Schema, taken_in: Schema, *, is_answer: bool) -> None:
        self._given_in = given_in
        self._taken_in = taken_in
        self._is_answer = is_answer
        self._under_way: set[tuple[str, str]] = set()

    def faults(self, given: Schema, taken: Schema, at: str) -> Iterator[str]:
        pair = (str(given.get("$ref", "")), str(taken.get("$ref", "")))
        if all(pair):
            if pair in self._under_way:
                return
            self._under_way.add(pair)
        given, taken = _resolved(given, self._given_in), _resolved(taken, self._taken_in)
        for alternative in _alternatives(given):
            tried = [list(self._plain_faults(alternative, one, at)) for one in _alternatives(taken)]
            if all(tried):
                yield from min(tried, key=len)
        self._under_way.discard(pair)

    def _plain_faults(self, given: Schema, taken: Schema, at: str) -> Iterator[str]:
        given, taken = _resolved(given, self._given_in), _resolved(taken, self._taken_in)
        if _is_choice(given) or _is_choice(taken):
            yield from self.faults(given, taken, at)
            return
        foreign = _foreign(_kinds(given), _kinds(taken))
        if foreign:
            verb = "may now be" if self._is_answer else "may no longer be"
            yield f"{at} {verb} {' or '.join(sorted(foreign))}"
            return
        if not self._is_answer:
            yield from _narrower(given, taken, at)
        yield from self._member_faults(given, taken, at)
        if "items" in given and "items" in taken:
            yield from self.faults(given["items"], taken["items"], f"{at}, each item")

    def _member_faults(self, given: Schema, taken: Schema, at: str) -> Iterator[str]:
        ours, theirs = given.get("properties", {}), taken.get("properties", {})
        for name in sorted(set(taken.get("required", ())) - set(given.get("required", ()))):
            if name in ours or not self._is_answer:
                said = "is not always there" if self._is_answer else "is required now"
                yield f"{at}: {name} {said}"
        for name in sorted(theirs.keys() - ours.keys()):
            if self._is_answer:
                yield f"{at}: {name} is gone"
        for name, member in ours.items():
            if name in theirs:
                yield from self.faults(member, theirs[name], f"{at}: {name}")
            elif taken.get("additionalProperties") is False and not self._is_answer:
                yield f"{at}: {name} is no longer taken"
        rest = (given.get("additionalProperties"), taken.get("additionalProperties"))
        if isinstance(rest[0], dict) and isinstance(rest[1], dict):
            yield from self.faults(rest[0], rest[1], f"{at}, each member")


def _narrower(given: Schema, taken: Schema, at: str) -> Iterator[str]:
    allowed = _values(taken)
    if allowed is not None:
        had = _values(given)
        lost = sorted(str(one) for one in had or () if one not in allowed)
        if had is None:
            yield f"{at} may no longer be any value"
        if lost:
            yield f"{at} may no longer be {', '.join(lost)}"
    for word in _UPPER:
        if word in taken and given.get(word, float("inf")) > taken[word]:
            yield f"{at} has {word} {taken[word]} now"
    for word in _LOWER:
        if word in taken and given.get(word, float("-inf")) < taken[word]:
            yield f"{at} has {word} {taken[word]} now"
    for word in _EXACT:
        if taken.get(word) and given.get(word) != taken[word]:
            yield f"{at} has another {word} now"


def _values(schema: Schema) -> Sequence[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    found: Sequence[Any] | None = schema.get("enum")
    return found


def _foreign(given: set[str], taken: set[str]) -> set[str]:
    """Return the kinds of value that are not taken; no kind at all stands for any."""
    if not taken:
        return set()
    known = taken | ({"integer"} if "number" in taken else set())
    return (given or {"anything"}) - known


def _kinds(schema: Schema) -> set[str]:
    stated = schema.get("type")
    if stated is not None:
        return {stated} if isinstance(stated, str) else set(stated)
    values = _values(schema)
    return set() if values is None else {_kind_of(value) for value in values}


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if value is None:
        return "null"
    if isinstance(value, int):
        return "integer"
    return "string" if isinstance(value, str) else "number"


def _is_choice(schema: Schema) -> bool:
    return "anyOf" in schema or "oneOf" in schema


def _alternatives(schema: Schema) -> Sequence[Schema]:
    found: Sequence[Schema] = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return found


def _resolved(schema: Schema, document: Schema) -> Schema:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema
