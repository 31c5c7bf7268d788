"""A plain client for tests: objects as dictionaries, for the fake and for a real cluster alike."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.client import ApiClient, Configuration

Object = dict[str, Any]

PATIENCE_S = 60.0
_STEP_S = 0.05
# The plurals that tests use and that are not the lower-case kind and an "s".
_PLURALS = {
    "NetworkPolicy": "networkpolicies",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
}
_GLOBAL = frozenset(
    {"Namespace", "Node", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    | {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
)
_VERSIONS = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "ValidatingAdmissionPolicy": "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding": "admissionregistration.k8s.io/v1",
    "Job": "batch/v1",
    "Lease": "coordination.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
}


class Refused(Exception):  # noqa: N818  # an answer like any other to a test
    """An answer that is an error; ``code`` and the `Status` in ``body``."""

    def __init__(self, code: int, body: Object) -> None:
        super().__init__(f"{code}: {body.get('message', body)}")
        self.code = code
        self.body = body


@dataclass(frozen=True, slots=True)
class Ref:
    """Which object: by its kind, its API version and its name; in the test's namespace."""

    kind: str
    name: str = ""
    api_version: str = ""

    def path(self, namespace: str, subresource: str = "") -> str:
        version = self.api_version or _VERSIONS.get(self.kind, "v1")
        root = "apis" if "/" in version else "api"
        where = "" if self.kind in _GLOBAL else f"/namespaces/{namespace}"
        plural = _PLURALS.get(self.kind, f"{self.kind.lower()}s")
        parts = (f"/{root}/{version}{where}/{plural}", self.name, subresource)
        return "/".join(part for part in parts if part)


class Client:
    """Speaks to the cluster of a kubeconfig, in one namespace."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        found = Configuration()
        config.load_kube_config(str(kubeconfig), client_configuration=found)
        found.retries = False  # a test wants to see the first answer
        self._api: Any = ApiClient(found)
        self._api.user_agent = "tests"
        self.namespace = namespace
        # How long one answer, or one event of a watch, is waited for.
        self.patience_s = PATIENCE_S

    def close(self) -> None:
        self._api.close()

    def create(self, thing: Object) -> Object:
        ref = Ref(thing["kind"], api_version=thing["apiVersion"])
        return self.call("POST", ref.path(self.namespace), thing)

    def define(self, thing: Object) -> None:
        """Have a kind, by its CustomResourceDefinition.

        It stays: were it somebody's, all their objects would go with it.
        """
        try:
            self.create(thing)
        except Refused as refused:
            if refused.code != 409:
                raise
        spec = thing["spec"]
        served = f"/apis/{spec['group']}/{spec['versions'][0]['name']}"
        path = f"{served}/namespaces/{self.namespace}/{spec['names']['plural']}"
        self.until(lambda: "items" in self.call("GET", path))

    def get(self, kind: str, name: str, subresource: str = "", api_version: str = "") -> Object:
        return self.call("GET", Ref(kind, name, api_version).path(self.namespace, subresource))

    def list(self, kind: str, **query: str) -> list[Object]:
        return list(self.call("GET", Ref(kind).path(self.namespace), query=query)["items"])

    def replace(self, thing: Object, subresource: str = "") -> Object:
        ref = Ref(thing["kind"], thing["metadata"]["name"], thing["apiVersion"])
        return self.call("PUT", ref.path(self.namespace, subresource), thing)

    def put_scale(self, thing: Object, replicas: int) -> Object:
        """Scale ``thing`` if it is still as it was read."""
        kept = ("name", "namespace", "resourceVersion")
        metadata = {name: thing["metadata"][name] for name in kept}
        scale = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata}
        ref = Ref(thing["kind"], metadata["name"], thing["apiVersion"])
        body = {**scale, "spec": {"replicas": replicas}}
        return self.call("PUT", ref.path(self.namespace, "scale"), body)

    def patch(
        self, kind: str, name: str, patch: Any, subresource: str = "", manager: str = "human"
    ) -> Object:
        """A JSON patch when ``patch`` is a list, else a merge patch; written by ``manager``."""
        sort = "json-patch" if isinstance(patch, list) else "merge-patch"
        path = Ref(kind, name).path(self.namespace, subresource)
        return self.call("PATCH", path, patch, f"application/{sort}+json", fieldManager=manager)

    def apply(self, thing: Object, manager: str = "human", *, force: bool = False) -> Object:
        """Server-side apply."""
        ref = Ref(thing["kind"], thing["metadata"]["name"], thing["apiVersion"])
        query = {"fieldManager": manager, "force": str(force).lower()}
        media = "application/apply-patch+yaml"
        return self.call("PATCH", ref.path(self.namespace), thing, media, **query)

    def scale(self, kind: str, name: str, replicas: int, manager: str = "human") -> Object:
        return self.patch(kind, name, {"spec": {"replicas": replicas}}, "scale", manager)

    def delete(self, kind: str, name: str, grace_s: int | None = None) -> Object:
        query = {} if grace_s is None else {"gracePeriodSeconds": str(grace_s)}
        return self.call("DELETE", Ref(kind, name).path(self.namespace), query=query)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        media_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        **more: str,
    ) -> Object:
        """One request; raises `Refused` for an error's code."""
        return dict(
            json.loads(self._sent(method, path, body, media_type, query, more).read() or b"{}")
        )

    def token(self, account: str) -> str:
        """A new token of a ServiceAccount."""
        path = Ref("ServiceAccount", account).path(self.namespace, "token")
        kind = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
        return str(self.call("POST", path, {**kind, "spec": {}})["status"]["token"])

    def watch(self, kind: str, since: str, for_s: int = 10, **query: str) -> Iterator[Object]:
        """Events after the version ``since``, until the server ends it."""
        how = {"watch": "true", "resourceVersion": since, "timeoutSeconds": str(for_s)}
        path = Ref(kind).path(self.namespace)
        answer = self._sent("GET", path, None, "application/json", {**how, **query}, {})
        for line in answer.response:
            yield json.loads(line)

    def _sent(
        self,
        method: str,
        path: str,
        body: Any,
        media_type: str,
        query: Mapping[str, str] | None,
        more: Mapping[str, str],
    ) -> Any:
        headers = {"Content-Type": media_type, "Accept": "application/json"}
        request = self._api.param_serialize(
            method,
            path,
            query_params=[*{**(query or {}), **more}.items()],
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = self._api.call_api(*request, _request_timeout=self.patience_s)
        if not 200 <= answer.status < 300:
            raise Refused(answer.status, _status(answer.read()))
        return answer

    def until(self, wanted: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
        """The first true value of ``wanted()``; a `Refused` on the way is not there yet."""
        end_s = time.monotonic() + patience_s
        while True:
            try:
                if value := wanted():
                    return value
                last: object = value
            except Refused as error:
                last = error
            if time.monotonic() > end_s:
                raise TimeoutError(f"still {last!r} after {patience_s} s")
            time.sleep(_STEP_S)


def _status(body: bytes) -> Object:
    """The `Status`; a path that nobody serves is answered in plain text."""
    try:
        return dict(json.loads(body))
    except ValueError:
        return {"reason": "", "message": body.decode(errors="replace").strip()}
