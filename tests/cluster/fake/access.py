"""Who may do what: tokens, and the rules of RBAC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.cluster.fake.errors import ApiError, Object, forbidden, unauthorized
from tests.cluster.fake.kinds import NAMED
from tests.cluster.fake.store import Store

if TYPE_CHECKING:
    from tests.cluster.fake.api import Call

ADMIN = "admin"


class Access:
    """Bearer tokens by whom they are of, and what the store's roles let these do."""

    def __init__(self, store: Store, admin_token: str) -> None:
        self._store = store
        self.users = {admin_token: ADMIN}

    def user(self, header: str) -> str:
        """Who sends this Authorization header; raises `ApiError` 401."""
        user = self.users.get(header.removeprefix("Bearer "))
        if user is None:
            raise unauthorized()
        return user

    def token(self, namespace: str, account: str) -> Object:
        """What a TokenRequest for a ServiceAccount is answered."""
        self._store.get(NAMED["ServiceAccount"], (namespace, account))
        token = uuid4().hex
        self.users[token] = f"system:serviceaccount:{namespace}:{account}"
        kind = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
        return {**kind, "metadata": {}, "spec": {}, "status": {"token": token}}

    def check(self, user: str, call: Call) -> None:
        """Raises `ApiError` 403 unless a role lets ``user`` do this."""
        if user != ADMIN and not any(_allows(rule, call) for rule in self._rules(user, call)):
            raise _denied(user, call)

    def _rules(self, user: str, call: Call) -> Iterator[Object]:
        wide = self._store.objects(NAMED["ClusterRoleBinding"])
        near = self._store.objects(NAMED["RoleBinding"], call.namespace) if call.namespace else []
        for binding in (*wide, *near):
            if any(_named(subject) == user for subject in binding.get("subjects", ())):
                yield from self._role(binding).get("rules") or ()

    def _role(self, binding: Object) -> Object:
        kind, name = binding["roleRef"]["kind"], binding["roleRef"]["name"]
        namespace = binding["metadata"].get("namespace", "") if kind == "Role" else ""
        return self._store.find(NAMED[kind], (namespace, name)) or {}


def _named(subject: Object) -> str:
    if subject["kind"] == "ServiceAccount":
        return f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
    return str(subject["name"])


def _allows(rule: Object, call: Call) -> bool:
    resource = "/".join(filter(None, (call.kind.plural, call.subresource)))
    names = rule.get("resourceNames")
    return (
        _among(call.verb, rule["verbs"])
        and _among(call.kind.group, rule.get("apiGroups", ()))
        and _among(resource, rule.get("resources", ()))
        and (not names or call.name in names)
    )


def _among(what: str, allowed: list[str]) -> bool:
    return what in allowed or "*" in allowed


def _denied(user: str, call: Call) -> ApiError:
    resource = "/".join(filter(None, (call.kind.plural, call.subresource)))
    where = f'in the namespace "{call.namespace}"' if call.namespace else "at the cluster scope"
    what = f'resource "{resource}" in API group "{call.kind.group}" {where}'
    return forbidden(call.kind.resource, call.name, f'User "{user}" cannot {call.verb} {what}')
