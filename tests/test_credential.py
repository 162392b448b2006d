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

from alert_refresh.credential import MASK, Credential, Credentials

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = Credential("canary")
SECRETS = Credentials({"token": "canary"})


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
        str(SECRETS),
        repr(SECRETS),
        f"{SECRETS}",
        repr(dict(SECRETS)),
        repr([SECRETS]),
        json.dumps({"headers": SECRETS}, default=str),
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


def test_several_by_name_are_a_mapping_that_cannot_be_changed() -> None:
    found = Credentials({"a": "1", "b": "2"})
    assert found == {"a": Credential("1"), "b": Credential("2")} == Credentials({"b": "2", "a": "1"})
    assert found != Credentials({"a": "1", "b": "3"})
    assert (list(found), len(found), found["b"].reveal()) == (["a", "b"], 2, "2")
    with pytest.raises(TypeError):
        found["a"] = Credential("3")  # type: ignore[index]
    with pytest.raises(KeyError):
        found["c"]


@pytest.mark.parametrize("one", [SECRET, SECRETS])
def test_it_has_no_attributes_to_list(one: object) -> None:
    with pytest.raises(TypeError):
        vars(one)


@pytest.mark.parametrize("one", [SECRET, SECRETS])
@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode])
def test_it_is_not_written_by_accident(how: Callable[[Any], object], one: object) -> None:
    with pytest.raises(TypeError) as raised:
        how(one)
    assert "canary" not in "".join(traceback.format_exception(raised.value))
