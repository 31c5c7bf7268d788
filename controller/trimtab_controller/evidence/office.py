"""The daemon's scorecards: worked out beside it, one at a time, and kept until a new day."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from trimtab_controller.config import GatesSpec
from trimtab_controller.evidence.recorded import DAY_S
from trimtab_controller.evidence.scorecard import Scorecard
from trimtab_controller.journal.chain import Location
from trimtab_controller.protocols import Clock
from trimtab_controller.records import pack, unpack

log = logging.getLogger(__name__)

# How far back evidence reaches: what was long ago says little about tomorrow.
DAYS = 28
# Who has no verdict, or whose scorecard could not be worked out, is looked at again so soon.
AGAIN_S = 600.0
DEFAULT_GATES = GatesSpec()
WORKER = (sys.executable, "-m", "trimtab_controller.evidence.worker")


@dataclass(frozen=True, slots=True)
class Question:
    """Which scorecard; without a ``policy`` the shipped bundle's."""

    config: str
    journal: str
    service: str
    policy: str
    days: int
    now_s: float


@dataclass(frozen=True, slots=True)
class Filed:
    """The latest scorecard, and whether a newer one is being worked out."""

    card: Scorecard
    computing: bool


class Office:
    """Keeps the scorecards of all services; ``policy`` is the bundle's folder, if not the shipped.

    While one is worked out the others wait, until they are asked for again.
    """

    def __init__(
        self,
        file: Path,
        journal: Location,
        clock: Clock,
        policy: Path | None = None,
        speed: float = 1.0,
        gates: GatesSpec = DEFAULT_GATES,
    ) -> None:
        self._file, self._journal, self._policy, self._clock = file, journal, policy, clock
        self.gates = gates
        self._day_s = DAY_S / speed
        self._lock = threading.Lock()
        self._cards: dict[str, Scorecard] = {}
        self._tried_s: dict[str, float] = {}
        self._child: subprocess.Popen[str] | None = None
        self._working = ""
        self._thread = threading.Thread()
        self._closed = False

    def filed(self, service: str) -> Filed:
        """What is known of a service; asks for what is out of date, and does not wait."""
        with self._lock:
            is_due = self._is_due(service) and not self._closed
            if is_due and not self._thread.is_alive():
                self._tried_s[service], self._working = self._clock(), service
                self._thread = threading.Thread(target=self._work, args=(service,), daemon=True)
                self._thread.start()
            return Filed(self._cards.get(service) or self._blank(service, is_due=is_due), is_due)

    def close(self) -> None:
        """End what is being worked out."""
        with self._lock:
            self._closed = True
            if self._child:
                self._child.kill()
        if self._thread.is_alive():
            self._thread.join()

    def _blank(self, service: str, *, is_due: bool) -> Scorecard:
        told = "is being worked out" if is_due else "could not be worked out (see the daemon's log)"
        why = f"the evidence {told}: ask again in some minutes"
        return Scorecard(service, 0.0, "", 0, 0, 0.0, no_verdict=why)

    def _is_due(self, service: str) -> bool:
        """Whether there may be a better one: of a new day, or after a while."""
        card, now_s = self._cards.get(service), self._clock()
        if card and card.verdict:
            return card.made_s // self._day_s < now_s // self._day_s
        return now_s >= self._tried_s.get(service, -AGAIN_S) + AGAIN_S or self._working == service

    def _work(self, service: str) -> None:
        policy, now_s = str(self._policy or ""), self._clock()
        journal = str(self._journal)
        question = Question(str(self._file), journal, service, policy, DAYS, now_s)
        pipe = subprocess.PIPE
        with self._lock:
            if self._closed:
                return
            self._child = subprocess.Popen(WORKER, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        text, trouble = self._child.communicate(json.dumps(pack(question)))
        with self._lock:
            status, self._child, self._working = self._child.returncode, None, ""
            if status == 0:
                self._cards[service] = unpack(Scorecard, json.loads(text))
            elif not self._closed:
                last = trouble.strip().rpartition("\n")[2]
                log.error("the scorecard of %s could not be worked out: %s", service, last)
