"""What waits to be sent: repeats folded, never more than a bound, failures later again."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from trimtab_controller.telemetry.events import Event

Key = tuple[str, str, str]

WAITING = 100
# The last of these comes 25 minutes after the first.
ATTEMPTS = 12
BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 300.0


@dataclass(frozen=True, slots=True)
class Message:
    """``times`` an event happened since ``first_s``; to be sent from ``due_s`` on."""

    event: Event
    times: int
    first_s: float
    due_s: float
    attempts: int = 0


class Outbox:
    """Messages by what repeats have in common. Not for several threads at once.

    An event goes out at once; its repeats in the next ``fold_s`` become one message after that.
    ``now_s`` is a clock that never jumps.
    """

    def __init__(self, fold_s: float) -> None:
        self._fold_s = fold_s
        self._waiting: dict[Key, Message] = {}
        # Until when repeats of what was sent wait.
        self._quiet_until_s: dict[Key, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: Event, now_s: float) -> bool:
        """Whether there was room for it: a repeat always finds some."""
        found = self._waiting.get(event.key)
        if found is None and len(self._waiting) >= WAITING:
            return False
        due_s = max(now_s, self._quiet_until_s.get(event.key, now_s))
        first = Message(event, 0, event.time_s, due_s)
        self._waiting[event.key] = _folded(found or first, event, 1)
        return True

    def take(self, now_s: float) -> Message | None:
        """The message that is due for longest, which is then no longer here."""
        due = [message for message in self._waiting.values() if message.due_s <= now_s]
        if not due:
            return None
        message = min(due, key=lambda message: message.due_s)
        del self._waiting[message.event.key]
        self._quiet_until_s[message.event.key] = now_s + self._fold_s
        return message

    def put_back(self, message: Message, now_s: float) -> bool:
        """Whether what could not be sent is tried again: not for ever."""
        key, attempts = message.event.key, message.attempts + 1
        if attempts >= ATTEMPTS:
            return False
        later = self._waiting.get(key)
        again = _folded(message, later.event, later.times) if later else message
        due_s = now_s + min(LONGEST_BACKOFF_S, BACKOFF_S * 2.0**message.attempts)
        self._waiting[key] = replace(again, attempts=attempts, due_s=due_s)
        return True

    def next_s(self) -> float:
        """When something is due, infinite when nothing waits."""
        return min((message.due_s for message in self._waiting.values()), default=math.inf)


def _folded(message: Message, event: Event, times: int) -> Message:
    """The message with ``times`` more of its event, the last of which is ``event``."""
    return replace(message, event=event, times=message.times + times)
