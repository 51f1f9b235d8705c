"""The catalog: every generation parameter as a record that forms and tables are made from."""

from typing import Any

from attrs import field, frozen

from .kinds import Kind, fields_of, kind_of
from .parameters import Parameters, as_tuple
from .rules import Group, ParameterKind, Rule, rule_of


@frozen(kw_only=True)
class Parameter:
    """One line of the catalog."""

    name: str
    type: Kind
    default: Any
    """What counts when neither the job nor its preset says anything; null: see the help."""
    rule: Rule

    @property
    def help(self) -> str:
        """One sentence for a person."""
        return self.rule.help

    @property
    def group(self) -> Group:
        """Where a form shows it."""
        return self.rule.group

    @property
    def kind(self) -> ParameterKind:
        """What it changes."""
        assert self.rule.kind is not None  # noqa: S101  every entry of Parameters has one
        return self.rule.kind

    @property
    def unit(self) -> str:
        """What the number counts, or an empty text."""
        return self.rule.unit

    @property
    def minimum(self) -> float | None:
        """The least accepted number."""
        return self.rule.minimum

    @property
    def maximum(self) -> float | None:
        """The greatest accepted number."""
        return self.rule.maximum

    @property
    def multiple_of(self) -> int | None:
        """Divisor of the rule "leaves `remainder`": 4 with remainder 1 for 4n+1."""
        return self.rule.multiple_of

    @property
    def remainder(self) -> int:
        """What `multiple_of` must leave."""
        return self.rule.remainder

    @property
    def choices(self) -> tuple[str, ...]:
        """The accepted texts, if only some are."""
        return self.type.choices

    @property
    def nullable(self) -> bool:
        """Whether a decided value may still be null."""
        return self.type.nullable

    @property
    def needs(self) -> tuple[str, object] | None:
        """The parameter and its value without which this one has no effect."""
        return self.rule.needs


def _catalog() -> tuple[Parameter, ...]:
    plain = Parameters()
    return tuple(
        Parameter(
            name=attribute.name,
            type=kind_of(attribute),
            default=None if attribute.name == "sample_shift" else getattr(plain, attribute.name),
            rule=rule_of(attribute),
        )
        for attribute in fields_of(Parameters)
    )


PARAMETERS: tuple[Parameter, ...] = _catalog()
BY_NAME: dict[str, Parameter] = {parameter.name: parameter for parameter in PARAMETERS}


def asked(name: str) -> Any:
    """Declare a job's field for a parameter: its rule from the catalog, null for "not said"."""
    return field(default=None, converter=as_tuple, metadata={"rule": BY_NAME[name].rule})
