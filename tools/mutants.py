"""Small lies about a module: one change of its source each, for ``mutate.py`` to be found out.

Left alone, because no behaviour hangs on it: docstrings, types, ``__all__``, and ``strict=`` of a
zip, which asserts what is so by construction.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

BOUNDARY_AND_OPPOSITE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
OTHER_OPERATOR: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
OTHER_FUNCTION = {"min": "max", "max": "min", "any": "all", "all": "any"}
NEEDLESS_FUNCTIONS = {"abs", "int", "sorted"}
SWAPPABLE_DECORATORS = {"property", "classmethod", "staticmethod"}
SHOWN = ast.expr | ast.keyword | ast.comprehension | ast.Assign | ast.AnnAssign
Functions = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Mutant:
    """``name`` says module, function and change, without line numbers, so that it lasts.

    ``function``: whose code alone is changed, "" when it is a definition that an import reads.
    """

    name: str
    module: str
    function: str
    lines: range
    source: str


@dataclass(frozen=True, slots=True)
class Place:
    """A field of a node where a change can be made, and what is around it."""

    holder: Any
    field: str
    index: int | None
    above: tuple[ast.AST, ...]

    def get(self) -> ast.AST:
        """The node in this place."""
        value = getattr(self.holder, self.field)
        return value if self.index is None else value[self.index]  # type: ignore[no-any-return]

    def put(self, node: ast.AST) -> None:
        """Another node in this place."""
        if self.index is None:
            setattr(self.holder, self.field, node)
        else:
            getattr(self.holder, self.field)[self.index] = node


def mutants(module: str, source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines; names are unique."""
    tree = ast.parse(source)
    found: list[Mutant] = []
    seen: Counter[str] = Counter()
    for place in list(_places(tree, ())):
        original = place.get()
        for changed in _changes(original, place):
            shown = _shown(place)
            before = ast.unparse(shown or original)
            place.put(changed)
            after = ast.unparse(shown or changed)
            text = ast.unparse(ast.fix_missing_locations(tree))
            place.put(original)
            mutant = _mutant(module, place, f"{before} -> {after}", text)
            seen[mutant.name] += 1
            again = seen[mutant.name]
            found.append(replace(mutant, name=f"{mutant.name} #{again}") if again > 1 else mutant)
    return found


def _mutant(module: str, place: Place, change: str, source: str) -> Mutant:
    scopes = [n for n in place.above if isinstance(n, Functions | ast.ClassDef)]
    function = next((n for n in scopes if isinstance(n, Functions)), None)
    swapped = function and _in_body(place, function) and _is_swappable(function)
    outer = scopes[: scopes.index(function) + 1] if function else scopes
    qualified = ".".join(scope.name for scope in outer)
    inner: Any = (function if swapped else None) or place.get()
    return Mutant(
        name=" ".join(f"{module}{qualified and '.' + qualified}: {change}".split()),
        module=module,
        function=qualified if swapped else "",
        lines=range(inner.lineno, inner.end_lineno + 1),
        source=source,
    )


def _in_body(place: Place, function: Functions) -> bool:
    """Not among the decorators and defaults, which an import reads."""
    below = (*place.above, place.get())
    return below[below.index(function) + 1] in function.body


def _is_swappable(function: Functions) -> bool:
    return {ast.unparse(name) for name in function.decorator_list} <= SWAPPABLE_DECORATORS


def _places(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[Place]:
    above = (*above, node)
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        for index, child in enumerate(children):
            if isinstance(child, ast.AST) and not _says_nothing(node, field, child):
                yield Place(node, field, index if isinstance(value, list) else None, above)
                yield from _places(child, above)


def _says_nothing(parent: ast.AST, field: str, child: ast.AST) -> bool:
    match parent, child:
        case _, ast.Expr(value=ast.Constant(value=str())):
            return True  # a docstring
        case ((ast.arg() | ast.FunctionDef() | ast.AnnAssign()), _) if field in (
            "annotation",
            "returns",
        ):
            return not ast.unparse(child).startswith("Annotated[")
        case _, ast.Call(func=ast.Name(id="TypeVar")):
            return True
        case _, ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case ast.Assign(), ast.Name():
            return field == "targets"
        case _, ast.keyword(arg="strict"):
            return True
    return isinstance(child, ast.Import | ast.ImportFrom | ast.expr_context)


def _shown(place: Place) -> ast.AST | None:
    """The expression or assignment around a change; none when a whole statement is changed."""
    around = (n for n in reversed(place.above) if isinstance(n, SHOWN))
    return next(around, None)


def _changes(node: ast.AST, place: Place) -> Iterator[ast.AST]:
    if place.field in ("test", "ifs"):
        yield from (ast.Constant(True), ast.Constant(False))
    if isinstance(node, ast.Tuple) and _is_table(place):
        yield from (ast.Tuple(rest, ast.Load()) for rest in _each_left_out(node.elts))
    if isinstance(place.holder, ast.JoinedStr):
        return  # the text between two values; the whole string is one mutant
    for kind, change in CHANGES.items():
        if isinstance(node, kind):
            yield from change(node)


def _other_statement(_: ast.Expr) -> Iterator[ast.AST]:
    yield ast.Pass()


def _other_assignment(node: ast.AugAssign) -> Iterator[ast.AST]:
    if type(node.op) in OTHER_OPERATOR:
        yield ast.AugAssign(node.target, OTHER_OPERATOR[type(node.op)](), node.value)


def _other_comparisons(node: ast.Compare) -> Iterator[ast.AST]:
    for index, op in enumerate(node.ops):
        for other in BOUNDARY_AND_OPPOSITE[type(op)]:
            ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
            yield ast.Compare(node.left, ops, node.comparators)


def _other_conditions(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
    for rest in _each_left_out(node.values):
        yield ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]


def _other_sums(node: ast.BinOp) -> Iterator[ast.AST]:
    if type(node.op) in OTHER_OPERATOR:
        yield ast.BinOp(node.left, OTHER_OPERATOR[type(node.op)](), node.right)


def _other_sign(node: ast.UnaryOp) -> Iterator[ast.AST]:
    yield node.operand


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in NEEDLESS_FUNCTIONS:
        yield node.args[0]
    if name in OTHER_FUNCTION:
        yield ast.Call(ast.Name(OTHER_FUNCTION[name], ast.Load()), node.args, node.keywords)
    if name in ("min", "max") and len(node.args) == 2:
        yield from node.args


def _no_text(_: ast.JoinedStr) -> Iterator[ast.AST]:
    yield ast.Constant("")


def _other_constants(node: ast.Constant) -> Iterator[ast.AST]:
    yield from map(ast.Constant, _other_values(node.value))


CHANGES: dict[type[ast.AST], Callable[[Any], Iterator[ast.AST]]] = {
    ast.Expr: _other_statement,
    ast.AugAssign: _other_assignment,
    ast.Compare: _other_comparisons,
    ast.BoolOp: _other_conditions,
    ast.BinOp: _other_sums,
    ast.UnaryOp: _other_sign,
    ast.Call: _other_calls,
    ast.JoinedStr: _no_text,
    ast.Constant: _other_constants,
}


def _each_left_out(nodes: list[ast.expr]) -> Iterator[list[ast.expr]]:
    return ([*nodes[:index], *nodes[index + 1 :]] for index in range(len(nodes)))


def _is_table(place: Place) -> bool:
    """A tuple that a module or class defines; those of a subscript are types."""
    return not any(isinstance(n, Functions | ast.Subscript) for n in place.above)


def _other_values(value: object) -> Iterator[object]:
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1)
        case float():
            yield from (value * 2, value / 2) if value else (1.0, -1.0)
        case str():
            yield "" if value else "?"
