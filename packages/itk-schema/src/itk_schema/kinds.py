"""What a type annotation of the contract means: a number, a choice, a list, an object."""

from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

from attrs import Attribute, fields, frozen, has

KindName: TypeAlias = Literal[
    "integer", "number", "boolean", "text", "choice", "object", "list", "either", "free", "any"
]

_PLAIN: dict[Any, KindName] = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "text",
    dict[str, Any]: "free",
    Any: "any",
}


@frozen(kw_only=True)
class Kind:
    """One type of the contract, taken apart."""

    name: KindName
    nullable: bool = False
    choices: tuple[str, ...] = ()
    """The accepted texts of a choice."""
    items: "tuple[Kind, ...]" = ()
    """The entries of a fixed list, the one repeated entry of a free list, or the alternatives."""
    fixed: bool = False
    """The list has exactly the entries in `items`."""
    cls: type[Any] | None = None
    """The attrs class of an object."""


def kind_of(field: "Attribute[Any]") -> Kind:
    """Return what an attrs field's annotation means."""
    return describe(field.type)


@cache
def describe(annotation: Any) -> Kind:
    """Take a type annotation apart; TypeError for one that the contract has no word for."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        return Kind(name=_PLAIN[annotation])
    if isinstance(annotation, type) and has(annotation):
        return Kind(name="object", cls=annotation)
    if origin is Literal:
        return Kind(name="choice", choices=arguments)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return Kind(name="choice", choices=tuple(member.value for member in annotation))
    if origin is tuple:
        return _list_of(arguments)
    if origin in (Union, UnionType):
        return _one_of(arguments)
    message = f"the contract has no word for {annotation!r}"
    raise TypeError(message)


def _list_of(arguments: tuple[Any, ...]) -> Kind:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return Kind(name="list", items=(describe(arguments[0]),))
    return Kind(name="list", items=tuple(map(describe, arguments)), fixed=True)


def _one_of(arguments: tuple[Any, ...]) -> Kind:
    nullable = NoneType in arguments
    kinds = tuple(describe(argument) for argument in arguments if argument is not NoneType)
    if len(kinds) > 1:
        return Kind(name="either", items=kinds, nullable=nullable)
    (kind,) = kinds
    return Kind(
        name=kind.name,
        nullable=nullable,
        choices=kind.choices,
        items=kind.items,
        fixed=kind.fixed,
        cls=kind.cls,
    )


@cache
def fields_of(cls: type[Any]) -> "tuple[Attribute[Any], ...]":
    """Return the fields of an attrs class."""
    return tuple(fields(cls))
