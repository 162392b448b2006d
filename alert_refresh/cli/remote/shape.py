"""What JSON must look like to be an answer of alert-refresh: the fields that a command uses, with their types.

A shape is a type; an object of shapes by the names of fields, of which each must be there and others may be; a list
with the shape of its elements; or one of the classes here. `float` stands for every number that can be shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Shape: TypeAlias = "type | Mapping[str, Shape] | list[Shape] | OrNull | IfThere | Each"
    Fields: TypeAlias = dict[str, Shape]

LARGEST = 10**18
"""No number of alert-refresh is larger; such as infinity could not be shown as an age."""


class OrNull(NamedTuple):
    """Null, or this."""

    of: Shape


class IfThere(NamedTuple):
    """A field that need not be there."""

    of: Shape


class Each(NamedTuple):
    """An object with any names, each value of this shape."""

    of: Shape


def fits(value: object, shape: Shape) -> bool:
    """Whether a value has a shape."""
    match shape:
        case OrNull(of):
            return value is None or fits(value, of)
        case IfThere(of):
            return fits(value, of)
        case Each(of):
            return isinstance(value, dict) and all(fits(one, of) for one in value.values())
        case list():
            return isinstance(value, list) and all(fits(one, shape[0]) for one in value)
        case type():
            if shape is float:
                return isinstance(value, int | float) and -LARGEST < value < LARGEST
            return isinstance(value, shape)
    if not isinstance(value, dict):
        return False
    return all(fits(value[name], of) if name in value else isinstance(of, IfThere) for name, of in shape.items())
