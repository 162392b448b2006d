"""A credential is masked everywhere, and only `reveal` returns it."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from alert_refresh.credential import MASK, Credential

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = Credential("canary")


@dataclass(frozen=True)
class Holder:
    token: Credential


@pytest.mark.parametrize(
    "shown",
    [
        str(SECRET),
        repr(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>40}",
        f"{SECRET:>40}",
        "%s" % SECRET,  # noqa: UP031 - the old way is tested
        "%r" % SECRET,  # noqa: UP031 - the old way is tested
        "{0}".format(SECRET),  # noqa: UP030, UP032 - as above
        repr([SECRET]),
        repr({"token": SECRET}),
        repr(Holder(SECRET)),
        json.dumps({"token": SECRET}, default=str),
    ],
)
def test_it_is_masked_however_it_is_shown(shown: str) -> None:
    assert "canary" not in shown
    assert MASK in shown


def test_it_opens_when_asked() -> None:
    assert SECRET.reveal() == "canary"


def test_equal_secrets_are_equal_and_have_one_hash() -> None:
    assert Credential("a") == Credential("a") != Credential("b")
    assert Credential("a") != "a"
    assert hash(Credential("a")) == hash(Credential("a"))


def test_it_has_no_attributes_to_list() -> None:
    with pytest.raises(TypeError):
        vars(SECRET)


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode])
def test_it_is_not_written_by_accident(how: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError) as raised:
        how(SECRET)
    assert "canary" not in "".join(traceback.format_exception(raised.value))
