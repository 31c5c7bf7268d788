"""Which kinds are served now: the built-in ones, and those that a CRD brings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.cluster.fake.errors import Object, unknown_path
from tests.cluster.fake.kinds import BUILT_IN, Kind, defined


class Registry:
    """Kinds by the path under which they are served."""

    def __init__(self, kinds: Iterable[Kind] = BUILT_IN) -> None:
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in kinds}

    def __iter__(self) -> Iterator[Kind]:
        return iter(list(self._kinds.values()))

    def served(self, group: str, version: str, plural: str) -> Kind:
        """Raises `ApiError` 404 as for any path that nobody serves."""
        kind = self._kinds.get((group, version, plural))
        if kind is None:
            raise unknown_path()
        return kind

    def named(self, api_version: str, name: str) -> Kind:
        """By what an object says of itself."""
        for kind in self:
            if (kind.api_version, kind.name) == (api_version, name):
                return kind
        raise unknown_path()

    def install(self, crd: Object) -> None:
        """Serve what ``crd`` defines from now on; anew, when it was served before."""
        for kind in defined(crd):
            self._kinds[kind.group, kind.version, kind.plural] = kind

    def uninstall(self, group: str, plural: str) -> list[Kind]:
        """Serve it no longer; returns what that was."""
        gone = [kind for kind in self if (kind.group, kind.plural) == (group, plural)]
        for kind in gone:
            del self._kinds[kind.group, kind.version, kind.plural]
        return gone
