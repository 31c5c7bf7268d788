"""One replica: slots, a queue, a service time; not ready at first, and it drains before it ends.

A bare epoll loop that imports next to nothing and runs under `python -I -S`: a replica then
starts in 30 ms and takes 10 MB, and dozens fit on one machine. Work is a timer, not CPU.
Its standard input is a lifeline: nothing is read from it, but when it closes the stage is gone.

It can be tuned, as software can (`Settings`); without, it is what its backend's profile says.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random
from time import monotonic

BACKLOG = 4096
LEAK_S = 0.25  # how often one that leaks takes more
# A request waits for others half of its time: so many threads per slot its processor keeps going.
THREADS_PER_SLOT = 2
# A request whose key is in the cache takes this part of a service time, one more in a batch that.
HIT, JOINING = 0.1, 0.25


def answer(status: str, body: str) -> bytes:
    """Return one HTTP/1.1 response."""
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


DONE = answer("200 OK", "ok\n")
NOT_READY = answer("503 Service Unavailable", "starting\n")
FULL = answer("503 Service Unavailable", "full\n")


class Settings:
    """What of a replica can be tuned; all of them are numbers, 0 or more.

    ``threads`` are served at once, more of them than its processor keeps going slow each other
    down; further requests wait in a ``queue`` of so many, or are refused. The last ``cache`` keys
    that were asked for are answered faster. A thread takes up to ``batch`` requests at once, which
    is less work than one by one, and waits up to ``linger_ms`` until they are there.
    """

    NAMES = ("threads", "queue", "cache", "batch", "linger_ms")

    def __init__(
        self,
        slots: int,
        threads: float = 0,
        queue: float = 1_000_000,
        cache: float = 0,
        batch: float = 1,
        linger_ms: float = 0,
    ) -> None:
        """``slots`` are the profile's concurrency, and the threads unless there are others."""
        self.threads = int(threads) or slots
        self.going = THREADS_PER_SLOT * slots
        self.queue = int(queue)
        self.cache = int(cache)
        self.batch = max(1, int(batch))
        self.linger_s = linger_ms / 1e3


class Cache:
    """The keys that were asked for last, as many as there is room for."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._keys: dict[bytes, None] = {}

    def hit(self, key: bytes) -> bool:
        """Whether it is known; it is from now on."""
        known = key in self._keys
        self._keys.pop(key, None)
        self._keys[key] = None  # the newest is the last
        if len(self._keys) > self._room:
            del self._keys[next(iter(self._keys))]
        return known


class Connection:
    """A client's connection; it holds one request at a time, as HTTP/1.1 clients do."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.is_open = True
        self.received = b""
        self.request = b""

    def send(self, response: bytes) -> None:
        """Send unless the client has gone."""
        if self.is_open:
            try:
                self.sock.send(response)
            except OSError:
                self.is_open = False


class Slots:
    """What the requests compete for: so many served at once, the others wait in line.

    Time runs on the schedule: a freed slot takes the next request at the moment its timer was
    due, not when the loop woke up for it, so that capacity is exact. ``slowness`` multiplies the
    service time of what is not being served yet.
    """

    def __init__(self, settings: Settings, draw_s: Callable[[], float]) -> None:
        self._settings = settings
        self._draw_s = draw_s
        self._cache = Cache(settings.cache)
        self._serving: list[tuple[float, int, list[Connection]]] = []
        self._waiting: deque[tuple[float, Connection]] = deque()
        self._order = count()
        self._assigned_s = 0.0
        self.slowness = 1.0

    @property
    def next_s(self) -> float | None:
        """When the next request is done, or taken from the line; None when idle."""
        done_s = self._serving[0][0] if self._serving else None
        if not self._waiting or len(self._serving) >= self._settings.threads:
            return done_s
        begins_s = self._waiting[0][0] + self._settings.linger_s
        return begins_s if done_s is None else min(done_s, begins_s)

    def busy_s(self, now_s: float) -> float:
        """Slot-seconds worked so far."""
        return self._assigned_s - sum(max(0.0, end_s - now_s) for end_s, _, _ in self._serving)

    def take(self, now_s: float, connection: Connection) -> None:
        """Serve a request now, put it in line, or refuse it."""
        self._waiting.append((now_s, connection))
        self._begin(now_s)
        if len(self._waiting) > self._settings.queue:
            self._waiting.pop()
            connection.send(FULL)

    def advance(self, now_s: float) -> None:
        """Answer what is done by now and take the next ones from the line."""
        while (next_s := self.next_s) is not None and next_s <= now_s:
            if self._serving and self._serving[0][0] <= next_s:
                for connection in heappop(self._serving)[2]:
                    connection.send(DONE)
            self._begin(next_s)

    def _begin(self, now_s: float) -> None:
        """Fill the free slots from the line; what is no full batch yet lingers."""
        settings, waiting = self._settings, self._waiting
        while waiting and len(self._serving) < settings.threads:
            is_full = len(waiting) >= settings.batch and waiting[settings.batch - 1][0] <= now_s
            if not is_full and waiting[0][0] + settings.linger_s > now_s:
                return
            taken = [waiting.popleft()[1] for _ in range(min(settings.batch, len(waiting)))]
            # A client that gave up has left the line.
            if batch := [connection for connection in taken if connection.is_open]:
                self._serve(now_s, batch)

    def _serve(self, start_s: float, batch: list[Connection]) -> None:
        service_s = self._draw_s() * self.slowness * self._work(batch)
        service_s *= max(1.0, (len(self._serving) + 1) / self._settings.going)
        self._assigned_s += service_s
        heappush(self._serving, (start_s + service_s, next(self._order), batch))

    def _work(self, batch: list[Connection]) -> float:
        """In service times: the longest request, and a part of every other one."""
        if not self._settings.cache:
            return 1.0 + JOINING * (len(batch) - 1)
        works = [HIT if self._cache.hit(_key(each.request)) else 1.0 for each in batch]
        return max(works) + JOINING * (sum(works) - max(works))


def _key(request: bytes) -> bytes:
    """What a request asks for: its path."""
    return request.split(b" ", 2)[1]


class Leak:
    """Memory that is taken and never given back, ``bytes_per_s`` from now on."""

    def __init__(self) -> None:
        self.bytes_per_s = 0.0
        self._held: list[bytes] = []
        self._taken_s = 0.0

    @property
    def next_s(self) -> float | None:
        """When more is to be taken."""
        return self._taken_s + LEAK_S if self.bytes_per_s else None

    def begin(self, bytes_per_s: float, now_s: float) -> None:
        """Leak at this pace; 0 ends it."""
        self.bytes_per_s, self._taken_s = bytes_per_s, now_s

    def advance(self, now_s: float) -> None:
        """Take what is due. It is written to, or the kernel would not really give it."""
        if self.next_s is not None and self.next_s <= now_s:
            self._held.append(b"x" * int(self.bytes_per_s * (now_s - self._taken_s)))
            self._taken_s = now_s


class Replica:
    """The event loop around the slots."""

    def __init__(self, listener: socket.socket, slots: Slots, ready_s: float) -> None:
        self._listener = listener
        self._slots = slots
        self._ready_s = ready_s
        self._draining = False
        self._leak = Leak()
        # Cut off from its clients until then, as by a partition: nothing is lost, and nothing said.
        self._deaf_until_s = 0.0
        self._unheard: list[Connection] = []
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._watch(listener.fileno(), self._accept)
        self._watch(sys.stdin.fileno(), sys.exit)
        self._terminated = _signal_pipe()
        self._watch(self._terminated, self._drain)

    def run(self) -> None:
        """Serve until drained."""
        while not self._draining or self._slots.next_s is not None or self._unheard:
            for fd, _ in self._epoll.poll(self._wait_s()):
                self._handlers[fd]()
            self._leak.advance(monotonic())
            if monotonic() >= self._deaf_until_s:
                self._hear(monotonic())

    def _wait_s(self) -> float | None:
        """Until something is to be done, or for ever; who is cut off answers nothing before."""
        next_s = self._slots.next_s
        if self._unheard or (next_s is not None and next_s < self._deaf_until_s):
            next_s = self._deaf_until_s
        if self._leak.next_s is not None:
            next_s = self._leak.next_s if next_s is None else min(next_s, self._leak.next_s)
        return None if next_s is None else max(0.0, next_s - monotonic())

    def _hear(self, now_s: float) -> None:
        """Answer what is done, and take what came while nothing got through."""
        self._slots.advance(now_s)
        unheard, self._unheard = self._unheard, []
        for connection in unheard:
            if connection.is_open:
                self._slots.take(now_s, connection)

    def _watch(self, fd: int, handler: Callable[[], None]) -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        connection = Connection(sock)
        self._watch(sock.fileno(), lambda: self._receive(connection))

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(65536)
        except BlockingIOError:  # the event was for an earlier connection with this number
            return
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        connection.received += data
        if connection.received.endswith(b"\r\n\r\n"):
            request, connection.received = connection.received, b""
            self._take(connection, request)

    def _close(self, connection: Connection) -> None:
        connection.is_open = False
        fd = connection.sock.fileno()
        self._epoll.unregister(fd)
        del self._handlers[fd]
        connection.sock.close()

    def _take(self, connection: Connection, request: bytes) -> None:
        now_s = monotonic()
        if request.startswith(b"PUT /slowness/"):
            self._slots.slowness = float(request[len(b"PUT /slowness/") :].split()[0])
            connection.send(DONE)
        elif request.startswith(b"PUT /leak/"):
            self._leak.begin(float(request[len(b"PUT /leak/") :].split()[0]), now_s)
            connection.send(DONE)
        elif request.startswith(b"PUT /deaf/"):
            self._deaf_until_s = now_s + float(request[len(b"PUT /deaf/") :].split()[0])
            connection.send(DONE)
        elif request.startswith(b"GET /healthz "):
            if now_s >= self._deaf_until_s:
                connection.send(self._health(now_s))
        else:
            connection.request = request
            self._unheard.append(connection)

    def _health(self, now_s: float) -> bytes:
        if now_s < self._ready_s or self._draining:
            return NOT_READY
        return answer("200 OK", f"{self._slots.busy_s(now_s):.6f}\n")

    def _drain(self) -> None:
        os.read(self._terminated, 1)
        self._draining = True


def _signal_pipe() -> int:
    """Return a descriptor that becomes readable at SIGTERM, which alone would not end a poll."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: None)
    return read_end


def service_times(mean_s: float, scv: float, random: Random) -> Callable[[], float]:
    """Draws from a gamma distribution; the mean itself when ``scv`` is 0."""
    if scv == 0:
        return lambda: mean_s
    return lambda: random.gammavariate(1 / scv, mean_s * scv)


def main(
    path: str,
    slots: str,
    service_time_s: str,
    service_scv: str,
    startup_s: str,
    seed: str,
    *settings: str,
) -> None:
    """Run one replica that listens on the Unix socket at ``path``; ``settings`` are NAME=VALUE."""
    ready_s = monotonic() + float(startup_s)
    draw_s = service_times(float(service_time_s), float(service_scv), Random(int(seed)))
    given = {name: float(value) for name, value in (each.split("=") for each in settings)}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        Replica(listener, Slots(Settings(int(slots), **given), draw_s), ready_s).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
