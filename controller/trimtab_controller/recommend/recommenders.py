"""Who has which memory: one per caller and service, for as many as there is room for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

from trimtab_controller.mandate import UnknownError
from trimtab_controller.protocols import Clock, Policy
from trimtab_controller.recommend.ledger import Ledger
from trimtab_controller.recommend.recommender import Recommender
from trimtab_controller.recommend.report import in_order, read
from trimtab_controller.recommend.subject import Subject, described
from trimtab_controller.refusals import InvalidRequest
from trimtab_proto.v1 import controller_pb2 as pb

# A memory takes about 40 kB for each backend.
MEMORIES = 1000
CALLER_CHARS_MAX = 100
# A configuration may list thousands of services; a sentence may not.
NAMES_SHOWN = 5

NewPolicy = Callable[[Subject], Policy]


class Key(NamedTuple):
    """Whose memory it is: who the caller proved to be, who it says it is, and of what."""

    identity: str
    caller: str
    service: str
    description: bytes


@dataclass(frozen=True, slots=True)
class Question:
    """A request: about which service, and whose memory answers it."""

    key: Key
    subject: Subject
    request: pb.RecommendRequest


class Recommenders:
    """All callers' memories. ``subjects`` are the services of the configuration."""

    def __init__(
        self,
        subjects: Mapping[str, Subject],
        new_policy: NewPolicy,
        ledger: Ledger,
        clock: Clock,
        room: int = MEMORIES,
    ) -> None:
        self.subjects = subjects
        self._new_policy = new_policy
        self._ledger = ledger
        self._clock = clock
        self._room = room
        # Who was asked least lately comes first.
        self._known: dict[Key, Recommender] = {}
        self._lock = threading.Lock()

    def question(self, request: pb.RecommendRequest, identity: str = "") -> Question:
        """What somebody who proved an ``identity`` asks.

        Raises `InvalidRequest` or `UnknownError`.
        """
        if len(request.caller) > CALLER_CHARS_MAX:
            raise InvalidRequest("caller", f"must have at most {CALLER_CHARS_MAX} characters")
        description = request.description.SerializeToString(deterministic=True)
        digest = sha256(description).digest() if description else b""
        key = Key(identity, request.caller, request.service, digest)
        return Question(key, self._subject(request, description), request)

    def standing(self, question: Question) -> pb.RecommendReply | None:
        """The answer, if it needs no thought: this tick has one, and the report is in order."""
        known, now_s, request = self._known.get(question.key), self._clock(), question.request
        if known and in_order(request, question.subject.backends, now_s):
            return known.standing(request.time_s or now_s)
        return None

    def answer(self, question: Question) -> pb.RecommendReply:
        """Decide; raises `InvalidRequest`, `PolicyError` or `JournalError`."""
        report = read(question.request, question.subject, self._clock())
        recommender = self._recommender(question.key, question.subject)
        return recommender.recommend(report, question.subject)

    def _subject(self, request: pb.RecommendRequest, description: bytes) -> Subject:
        if not request.service:
            raise InvalidRequest("service", "is missing")
        if request.HasField("description"):
            return described(request.service, description)
        if request.service not in self.subjects:
            raise UnknownError("service", request.service, self._ways_out())
        return self.subjects[request.service]

    def _ways_out(self) -> str:
        known = ", ".join(islice(self.subjects, NAMES_SHOWN))
        return f"the configuration has {known}; any other needs a `description`"

    def _recommender(self, key: Key, subject: Subject) -> Recommender:
        with self._lock:
            found = self._known.pop(key, None)
            if found:
                self._known[key] = found
                return found
        caller = key.caller or key.identity
        new = Recommender(caller, self._new_policy(subject), self._ledger, self._clock)
        if not caller:
            return new
        with self._lock:
            kept = self._known.setdefault(key, new)
            if len(self._known) > self._room:
                del self._known[self._dispensable()]
            return kept

    def _dispensable(self) -> Key:
        """The longest unused of whoever has most: nobody can push others out by inventing names."""
        ((greediest, _),) = Counter(key.identity for key in self._known).most_common(1)
        return next(key for key in self._known if key.identity == greediest)
