"""The console as people use it: a real browser, a real daemon, the real stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

House, Tab = Any, Any  # the classes in conftest.py, which cannot be imported from here

pytestmark = pytest.mark.stage


def test_stop_is_two_presses_and_nothing_is_written_after(
    new_house: Callable[[str], House], tab: Tab
) -> None:
    house = new_house("guarded")
    url = house.start()
    tab.page.goto(url)
    tab.sees(r"\d+ rps")
    tab.press("Stop")
    tab.press("Press again to stop all writes")
    tab.sees("trimtab writes nothing")
    stopped = house.processes.status(lambda status: status.stopped)
    later = house.processes.status(lambda status: status.decisions > stopped.decisions + 3)
    assert (later.outcome, later.actions) == ("stopped", stopped.actions)
    tab.press("Resume")
    tab.press("Press again: writes may happen again")
    tab.sees("every service is in shadow")
    assert tab.errors == []
    assert tab.requested == {url, url.replace("http", "ws")}
