"""Loaded by Schemathesis: leaves out requests that openapi.json cannot tell to be wrong."""

from __future__ import annotations

from typing import Any

import schemathesis

from alert_refresh.views.names import name_fault


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """`wait` needs `generation` where both are known, a cursor must be one that the process gave, a name a name."""
    query = case.query or {}
    known = {parameter.name for parameter in case.operation.query}
    alone = "generation" in known and "wait" in query and "generation" not in query
    view = query.get("view_name")
    unnamed = isinstance(view, str) and name_fault(view) is not None
    return not alone and not unnamed and "cursor" not in query


@schemathesis.hook
def before_add_examples(context: Any, examples: list[Any]) -> None:
    """The same for the requests that are made from examples."""
    examples[:] = [case for case in examples if filter_case(context, case)]
