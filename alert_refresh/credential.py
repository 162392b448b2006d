"""Strings that are masked wherever they are printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

MASK = "***"


class Credential:
    """A secret string, such as a token. `str`, `repr` and `format` give `***`; only `reveal` returns the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value. Call this only where the value is used."""
        return self._value

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Credential({MASK})"

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credential) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a credential is not pickled")


class Credentials(Mapping[str, Credential]):
    """Credentials by name, which cannot be changed: kept as strings, so that thousands of them take little memory."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Credential:
        return Credential(self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Credentials({dict(self)!r})"

    def __reduce__(self) -> str:
        raise TypeError("credentials are not pickled")
