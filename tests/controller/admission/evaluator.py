"""Evaluates ValidatingAdmissionPolicies as the API server does, with Google's own CEL.

Each variable has the type that CEL infers for it, as there: an expression that is not of the type
that is wanted would make the API server refuse the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

Object = dict[str, Any]
BOOL, STRING, DYN = cel.Type.BOOL, cel.Type.STRING, cel.Type.DYN


@dataclass(frozen=True, slots=True)
class Review:
    """One write, as admission sees it."""

    user: str
    resource: str
    group: str
    new: Object | None
    old: Object | None = None
    operation: str = "UPDATE"
    part: str = ""
    namespace: str = "shop"
    name: str = "web"

    @property
    def data(self) -> dict[str, Any]:
        request = {
            "userInfo": {"username": self.user},
            "resource": {"resource": self.resource, "group": self.group},
            "subResource": self.part,
            "operation": self.operation,
            "namespace": self.namespace,
            "name": self.name,
        }
        return {"request": request, "object": self.new, "oldObject": self.old}


@dataclass
class Policy:
    """One policy; compiled once."""

    document: Mapping[str, Any]
    _types: dict[str, Any] = field(default_factory=dict)
    _programs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._types = {"request": DYN, "object": DYN, "oldObject": DYN}
        for variable in self.spec["variables"]:
            program = self._compiled(variable["expression"])
            self._types[f"variables.{variable['name']}"] = program.return_type()
        for rule in (*self.spec["validations"], *self.spec["matchConditions"]):
            assert self._compiled(rule["expression"]).return_type() == BOOL, rule["expression"]
        for rule in self.spec["validations"]:
            program = self._compiled(rule["messageExpression"])
            assert program.return_type() == STRING, rule["messageExpression"]

    @property
    def spec(self) -> Any:
        return self.document["spec"]

    def denials(self, review: Review) -> list[str]:
        """What it says against a write: nothing, when it allows it or does not care."""
        data = review.data
        if not (self._concerns(review) and all(self._all("matchConditions", data))):
            return []
        data = self._with_variables(data)
        return [
            str(self._value(rule["messageExpression"], data))
            for rule in self.spec["validations"]
            if self._value(rule["expression"], data) is not True
        ]

    def value_of(self, variable: str, data: Mapping[str, Any]) -> Any:
        return self._with_variables(data)[f"variables.{variable}"]

    def _with_variables(self, data: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(data)
        for variable in self.spec["variables"]:
            found[f"variables.{variable['name']}"] = self._value(variable["expression"], found)
        return found

    def _concerns(self, review: Review) -> bool:
        resource = review.resource + (f"/{review.part}" if review.part else "")
        every = "*" + (f"/{review.part}" if review.part else "")
        return any(
            review.operation in rule["operations"]
            and review.group in rule["apiGroups"]
            and (resource in rule["resources"] or every in rule["resources"])
            for rule in self.spec["matchConstraints"]["resourceRules"]
        )

    def _all(self, part: str, data: Mapping[str, Any]) -> list[bool]:
        return [self._value(each["expression"], data) is True for each in self.spec[part]]

    def _value(self, expression: str, data: Mapping[str, Any]) -> Any:
        value = self._compiled(expression).eval(data=data)
        assert value.type() != cel.Type.ERROR, f"{expression}: {value.value()}"
        return value.plain_value()

    def _compiled(self, expression: str) -> Any:
        if expression not in self._programs:
            env = cel.NewEnv(variables=self._types, extensions=[ext_strings.ExtStrings()])
            self._programs[expression] = env.compile(expression)
        return self._programs[expression]
