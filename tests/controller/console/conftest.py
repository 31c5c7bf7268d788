"""A real browser, a real console, and a real daemon on the real stage behind it."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from trimtab_controller.security.roles import Role
from trimtab_controller.security.tokens import changing, issue

Processes = Any  # the class in the conftest.py above, which cannot be imported from here
CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MS = 60_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class House:
    """Stage, daemon and console in one folder; ``url`` is the page."""

    def __init__(self, processes: Processes, mode: str) -> None:
        self.processes = processes
        self.folder: Path = processes.folder
        self.mode = mode
        self.config = self.folder / "trimtab.yaml"
        self.config.write_text(Path(processes.demo).read_text())
        self.url = ""

    def token(self, name: str, role: Role) -> str:
        """Have the daemon ask for tokens, and make one."""
        demo = yaml.safe_load(self.config.read_text()) | {"security": {"tokens": "tokens.yaml"}}
        self.config.write_text(yaml.safe_dump(demo))
        text, token = issue(name, role, (), time.time() + 3600.0, time.time())
        with changing(self.folder / "tokens.yaml") as tokens:
            tokens.append(token)
        return text

    def start(self) -> str:
        """Start all three; returns the page's address once it answers."""
        self.processes.start_stage()
        self.start_daemon()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.processes.start(
            "trimtab_controller.cli.console", f"--address=unix:{self.folder}/d.sock",
            f"--listen=127.0.0.1:{port}",
        )  # fmt: skip
        soon(self._answers, "stage, daemon and console answer")
        return self.url

    def _answers(self) -> bool:
        """Whether it lets in or asks for a token: until it sees the daemon it does neither."""
        console = HTTPConnection(urlsplit(self.url).netloc)
        try:
            console.request("GET", "/login")
            return console.getresponse().status != HTTPStatus.SERVICE_UNAVAILABLE
        except OSError:
            return False
        finally:
            console.close()

    def start_daemon(self) -> None:
        options = ("--config", str(self.config), "--mode", self.mode)
        self.daemon = self.processes.start_daemon(*options)

    def revoke(self, name: str) -> None:
        with changing(self.folder / "tokens.yaml") as tokens:
            tokens[:] = [token for token in tokens if token.name != name]


def soon(true: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + PATIENCE_MS / 1e3
    while not true():
        assert time.monotonic() < end_s, what
        time.sleep(0.1)


@pytest.fixture
def new_house(processes: Processes) -> Callable[[str], House]:
    return lambda mode: House(processes, mode)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright, whose event loop is in the way of every other."""
    if not CHROMIUM.exists():
        pytest.skip(f"needs a browser: apt-get install chromium ({CHROMIUM} is not there)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Tab:
    """A page in a browser of its own, and what its developer tools would show."""

    def __init__(self, browser: Any) -> None:
        self.context = browser.new_context()
        self.context.set_default_timeout(PATIENCE_MS)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        # What an error may contain that the test has asked for.
        self.expected = ""
        self.requested: set[str] = set()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.context.on("request", lambda request: self.requested.add(_host(request.url)))
        self.page.on("websocket", lambda ws: self.requested.add(_host(ws.url)))

    def sign_in(self, url: str, token: str) -> None:
        self.page.goto(url)
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()

    def press(self, name: str, exact: bool = True) -> None:
        self.page.get_by_role("button", name=name, exact=exact).first.click()

    def sees(self, text: str) -> None:
        """Wait until it is shown."""
        self.page.get_by_text(re.compile(text)).first.wait_for()

    def _heard(self, message: Any) -> None:
        asked_for = self.expected and self.expected in message.text
        if message.type in ("error", "warning") and not asked_for:
            self.errors.append(message.text)


def _host(url: str) -> str:
    return str(urlsplit(url).hostname)


@pytest.fixture
def new_tab(chromium: Any) -> Iterator[Callable[[], Tab]]:
    """Make a tab; whatever it is for, it has no errors and asks nobody but this machine."""
    tabs: list[Tab] = []

    def make() -> Tab:
        tabs.append(Tab(chromium))
        return tabs[-1]

    yield make
    for tab in tabs:
        tab.context.close()
    assert [error for tab in tabs for error in tab.errors] == []
    assert {host for tab in tabs for host in tab.requested} == {"127.0.0.1"}


@pytest.fixture
def tab(new_tab: Callable[[], Tab]) -> Tab:
    return new_tab()
