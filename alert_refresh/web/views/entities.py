"""Reads of the hierarchy over HTTP: who is above an entity, how many are below it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from alert_refresh.web import query
from alert_refresh.web.answers import JsonResponse
from alert_refresh.web.errors import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Blueprint

    from alert_refresh.views.source import PostgresSource


def add(blueprint: Blueprint, source: PostgresSource) -> None:
    """Add the two reads to the views' blueprint."""

    @blueprint.get("/<path>/ancestors")
    def ancestors(path: str) -> JsonResponse:
        """The ancestors of an entity."""
        return found(source.resolver.ancestors, path)

    @blueprint.get("/<path>/descendants/count")
    def descendants(path: str) -> JsonResponse:
        """The number of descendants of an entity."""
        return found(source.resolver.descendants, path)


def found(question: Callable[[str], bytes | None], path: str) -> JsonResponse:
    """The answer, a JSON document already.

    Raises:
        ApiError: 400 this is no path, 404 there is no such entity, 503 the database cannot be read.
    """
    from alert_refresh.views.tiers.resolver import BadPath

    query.only()
    try:
        with unavailable():
            body = question(path)
    except BadPath:
        raise bad_request("The entity must be an ltree path such as company.team.service") from None
    if body is None:
        raise ApiError(404, "There is no such entity")
    return JsonResponse(body)


@contextmanager
def unavailable() -> Iterator[None]:
    """A database that cannot be read is a 503 that says when to come again."""
    from alert_refresh.views.tiers.reads import Unavailable

    try:
        yield
    except Unavailable as error:
        raise ApiError(503, f"The views cannot be read: {error}", retry_after=error.retry_after) from None
