"""Whether a view's rows can change without a change that PostgreSQL counts, derived from the stored query trees.

It is an allowlist: a view with any node type, function or type that is not known to be immutable is never skipped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alert_refresh.views.skip.node_tree import Node, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

FIRST_OWN = 16384
"""FirstNormalObjectId: the first oid of an object that was not created by initdb."""

KNOWN = frozenset(
    (
        "QUERY", "RANGETBLENTRY", "RTE", "RTEPERMISSIONINFO", "TARGETENTRY", "VAR", "CONST", "FROMEXPR", "JOINEXPR",
        "RANGETBLREF", "ALIAS", "FUNCEXPR", "OPEXPR", "DISTINCTEXPR", "NULLIFEXPR", "SCALARARRAYOPEXPR", "BOOLEXPR",
        "CASEEXPR", "CASE", "CASEWHEN", "WHEN", "CASETESTEXPR", "COALESCEEXPR", "COALESCE", "MINMAXEXPR", "MINMAX",
        "NULLTEST", "BOOLEANTEST", "ARRAYEXPR", "ARRAY", "ROWEXPR", "ROW", "ROWCOMPAREEXPR", "ROWCOMPARE",
        "RELABELTYPE", "COERCEVIAIO", "COLLATEEXPR", "SUBLINK", "AGGREF", "GROUPINGFUNC", "GROUPINGSET",
        "WINDOWFUNC", "WINDOWCLAUSE", "SORTGROUPCLAUSE", "COMMONTABLEEXPR", "CTESEARCHCLAUSE", "CTECYCLECLAUSE",
        "SETOPERATIONSTMT", "RANGETBLFUNCTION", "NAMEDARGEXPR", "SUBSCRIPTINGREF", "PARAM", "WITHCHECKOPTION",
    )
)  # fmt: skip
"""Node types whose value depends on their fields only, with the names of PostgreSQL 15 and later."""

CHANGING = {
    "SQLVALUEFUNCTION": "the current date, time or user",
    "TABLESAMPLECLAUSE": "a sample of a table",
    "NEXTVALUEEXPR": "a sequence",
}

HARMLESS = frozenset(
    (
        "concat", "concat_ws", "format", "array_to_string", "to_json", "to_jsonb", "row_to_json", "json_agg",
        "jsonb_agg", "json_object_agg", "jsonb_object_agg", "json_build_object", "jsonb_build_object",
        "json_build_array", "jsonb_build_array",
    )
)  # fmt: skip
"""Built-in functions that are stable only because they convert values of any type to text: the types decide."""

RESULT = {
    "VAR": "vartype", "CONST": "consttype", "FUNCEXPR": "funcresulttype", "OPEXPR": "opresulttype",
    "RELABELTYPE": "resulttype", "COERCEVIAIO": "resulttype", "CASEEXPR": "casetype", "CASE": "casetype",
    "COALESCEEXPR": "coalescetype", "COALESCE": "coalescetype", "MINMAXEXPR": "minmaxtype", "MINMAX": "minmaxtype",
    "AGGREF": "aggtype", "WINDOWFUNC": "wintype", "PARAM": "paramtype", "ARRAYEXPR": "array_typeid",
    "ARRAY": "array_typeid", "SUBSCRIPTINGREF": "refrestype", "NULLIFEXPR": "opresulttype",
}  # fmt: skip
"""The field that holds the type of a node's value."""
TRUTH = frozenset(("BOOLEXPR", "NULLTEST", "BOOLEANTEST", "SCALARARRAYOPEXPR", "DISTINCTEXPR"))
BOOLEAN = 16
LOOKED_UP = (3734, 3769)
"""regconfig and regdictionary: values that name a configuration, which may change."""

TYPES = (*RESULT.values(), "element_typeid", "row_typeid", "aggargtypes", "coltypes", "funccoltypes")
FUNCTIONS = ("funcid", "opfuncid", "aggfnoid", "winfnoid", "startInRangeFunc", "endInRangeFunc")
OPERATORS = ("opno", "eqop", "sortop", "opnos", "cycle_mark_neop")

TREES = """
select rule.ev_action::text from unnest(%(relations)s::oid[]) as r(oid) join pg_rewrite rule on rule.ev_class = r.oid
union all
select p.prosqlbody::text from unnest(%(functions)s::oid[]) as f(oid) join pg_proc p on p.oid = f.oid
where p.prosqlbody is not null
"""

USED_FUNCTIONS = """
select p.oid::bigint, p.oid::regprocedure::text, p.proname, p.provolatile::text, l.lanname,
    p.prosqlbody is not null,
    exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
from pg_proc p join pg_language l on l.oid = p.prolang
where p.oid = any (%(functions)s::oid[])
    or p.oid in (select oprcode from pg_operator where oid = any (%(operators)s::oid[]))
"""

USED_TYPES = """
select t.oid::bigint, t.oid::regtype::text, t.typtype::text,
    exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.deptype = 'e'
        and d.objid = case t.typcategory when 'A' then t.typelem else t.oid end),
    coalesce(e.typtype::text, ''), i.provolatile = 'i', o.provolatile = 'i'
from pg_type t join pg_proc i on i.oid = t.typinput join pg_proc o on o.oid = t.typoutput
left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
where t.oid = any (%s::oid[])
"""


@dataclass(eq=False, slots=True)
class Uses:
    """The functions and types that trees use, by oid. `casts` are types converted by text I/O; `written` are types that
    a function converts to text, by the function's oid; an unknown type is None. `reason` is set once the proof failed.
    """

    functions: set[int] = field(default_factory=set)
    operators: set[int] = field(default_factory=set)
    types: set[int] = field(default_factory=set)
    casts: set[tuple[int | None, int]] = field(default_factory=set)
    written: dict[int, set[int | None]] = field(default_factory=dict)
    reason: str = ""


def prove(connection: Connection[Any], relations: list[int], functions: list[int]) -> str:
    """Why a query over these views and functions may change by itself; empty if it cannot.

    Raises:
        psycopg.Error: the catalog could not be read.
    """
    trees = connection.execute(TREES, {"relations": relations, "functions": functions}).fetchall()
    uses = collect(node for (tree,) in trees for node in parse(tree))
    return uses.reason or _functions(connection, uses) or _types(connection, uses)


def collect(nodes: Iterable[Node]) -> Uses:
    """Collect what these nodes use."""
    uses = Uses()
    for node in nodes:
        uses.reason = uses.reason or _strange(node)
        for names, used in ((FUNCTIONS, uses.functions), (OPERATORS, uses.operators), (TYPES, uses.types)):
            used.update(number for name in names for number in node.numbers(name) if number)
        if node.name == "COERCEVIAIO":
            argument = next(iter(node.nodes("arg")), None)
            uses.casts.add((None if argument is None else type_of(argument), node.number("resulttype")))
        if (function := node.number("funcid")) > 0:
            uses.written.setdefault(function, set()).update(type_of(one) for one in node.nodes("args"))
        if (function := node.number("aggfnoid")) > 0:
            uses.written.setdefault(function, set()).update(node.numbers("aggargtypes"))
    return uses


def type_of(node: Node) -> int | None:
    """The type of a node's value; None if it is unknown."""
    if node.name in TRUTH:
        return BOOLEAN
    return node.number(RESULT[node.name]) if node.name in RESULT else None


def _strange(node: Node) -> str:
    """Why a node by itself prevents its view from being skipped."""
    if node.name not in KNOWN:
        return f"it uses {CHANGING.get(node.name, f'{node.name}, which is not known to be immutable')}"
    if node.name == "QUERY" and node.number("commandType") != 1:
        return "a function that it calls does more than read"
    if node.name == "VAR" and node.number("varattno") < 0:
        return "it reads a system column"
    if 0 < node.number("relid") < FIRST_OWN:
        return "it reads a system catalog"
    return ""


def _functions(connection: Connection[Any], uses: Uses) -> str:
    """Why the first unproven function is not immutable; the types that the others convert to text become casts."""
    values = {"functions": list(uses.functions), "operators": list(uses.operators)}
    for oid, shown, name, volatile, language, body, extension in connection.execute(USED_FUNCTIONS, values).fetchall():
        if oid >= FIRST_OWN:
            if body or (extension and language == "c" and volatile == "i"):
                continue
            return f"it calls {shown}, which is not built in, and whose text does not show what it reads"
        if volatile == "i":
            continue
        if name not in HARMLESS:
            return f"it calls {shown}, whose result may change by itself"
        uses.casts.update((one, 0) for one in uses.written.get(oid, {None}))
    return ""


def _types(connection: Connection[Any], uses: Uses) -> str:
    """Why the first unproven type or text conversion is not immutable."""
    cast = {one for pair in uses.casts for one in pair if one}
    stable_in, stable_out = {0}, set()
    for oid, shown, kind, extension, element, fixed_in, fixed_out in connection.execute(
        USED_TYPES, [list(uses.types | cast)]
    ).fetchall():
        plain = kind in ("b", "e", "d") and element in ("", "b", "e", "d")
        simple = (element or kind) in ("e", "d")
        if oid in LOOKED_UP or kind == "c" or (oid >= FIRST_OWN and not (plain and (extension or simple))):
            return f"it uses the type {shown}, which may change by itself"
        stable_in |= {oid} if fixed_in else set()
        stable_out |= {oid} if fixed_out else set()
    for source, target in uses.casts:
        if source not in stable_out or target not in stable_in:
            return "it converts values by their text, which depends on settings or on the definition of a type"
    return ""
