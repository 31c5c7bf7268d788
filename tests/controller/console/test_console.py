"""The console as people use it: a real browser, a real daemon, the real stage."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest
from playwright.sync_api import Error as PlaywrightError

from trimtab_controller.security.roles import Role
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

House, Tab = Any, Any  # the classes in conftest.py, which cannot be imported from here
NewHouse, NewTab = Callable[[str], House], Callable[[], Tab]

pytestmark = [pytest.mark.stage, pytest.mark.timeout(300)]


def of(status: pb.ServiceStatus, backend: str) -> pb.BackendStatus:
    return next(each for each in status.backends if each.name == backend)


def granted(tab: Tab, backend: str) -> None:
    """Press twice; what is asked may grow in between, and must then be read again."""
    ask = tab.page.locator(".ask", has_text=f"Add replicas: web/{backend}").first
    while not tab.page.get_by_text(f"Granted for web/{backend}").count():
        with suppress(PlaywrightError):
            ask.get_by_role("button", name="Approve").click(timeout=1_000)
            ask.get_by_role("button", name="Grant").click(timeout=1_000)
            tab.page.get_by_text(f"Granted for web/{backend}").wait_for(timeout=2_000)


def forced(tab: Tab, name: str) -> None:
    """Click a button that is hidden or disabled, as a browser's owner can."""
    script = (
        "(all, name) => all.find(b => b.textContent === name).dispatchEvent(new Event('click'))"
    )
    tab.page.locator("button").evaluate_all(
        f"(all, name) => {{ for (const b of all) b.disabled = false; ({script})(all, name) }}", name
    )
    tab.page.wait_for_timeout(500)


def test_stop_is_two_presses_and_nothing_is_written_after(new_house: NewHouse, tab: Tab) -> None:
    house = new_house("guarded")
    tab.page.goto(house.start())
    tab.sees(r"\d+ rps")
    tab.press("Stop")
    tab.press("Press again to stop all writes")
    tab.sees("trimtab writes nothing")
    stopped = house.processes.status(lambda status: status.stopped)
    version = house.processes.stage_status().resource_version
    later = house.processes.status(lambda status: status.decisions > stopped.decisions + 3)
    assert (later.outcome, later.actions) == ("stopped", stopped.actions)
    assert house.processes.stage_status().resource_version == version
    tab.press("Resume")
    tab.press("Press again: writes may happen again")
    tab.sees("every service is in shadow")
    tab.sees("shadow: it only recommends")


def test_a_key_pressed_twice_stops_and_once_does_not(new_house: NewHouse, tab: Tab) -> None:
    house = new_house("shadow")
    tab.page.goto(house.start())
    tab.sees("All calm")
    tab.page.keyboard.press("s")
    tab.sees("Press again to stop all writes")
    tab.page.keyboard.press("Escape")
    tab.page.get_by_role("button", name="Stop", exact=True).wait_for()
    assert not house.processes.status(lambda _: True).stopped
    tab.page.keyboard.press("s")
    tab.sees("Press again to stop all writes")
    tab.page.keyboard.press("s")
    tab.sees("trimtab writes nothing")
    assert house.processes.status(lambda _: True).stopped


def test_what_it_asks_is_granted_with_two_presses_and_replicas_follow(
    new_house: NewHouse, tab: Tab
) -> None:
    house = new_house("approve")
    tab.page.goto(house.start())
    ask = tab.page.locator(".ask", has_text="Add replicas").first
    ask.wait_for()
    asked = ask.inner_text()
    assert re.search(r"expires in \d+:\d\d", asked)
    assert re.search(r"Now: \S+ has \d+ ready", asked)
    _, backend = re.findall(r"Add replicas: (\w+)/([\w-]+), \d+ to \d+ replicas", asked)[0]
    before = house.processes.status(lambda status: bool(status.backends))
    assert before.actions == 0  # it has asked, and done nothing
    granted(tab, backend)
    done = house.processes.status(lambda status: status.actions > 0)
    assert done.mode == pb.MODE_APPROVE
    wanted = {each.name: each.wanted for each in before.backends}
    grown = house.processes.status(lambda status: of(status, backend).wanted > wanted[backend])
    tab.page.get_by_role("row", name=re.compile(backend)).get_by_role(
        "cell", name=str(of(grown, backend).wanted), exact=True
    ).first.wait_for()


def test_a_viewer_sees_all_and_can_do_none_of_it(new_house: NewHouse, new_tab: NewTab) -> None:
    house = new_house("approve")
    vi, ann = house.token("vi", Role.VIEWER), house.token("ann", Role.ADMIN)
    viewer, admin = new_tab(), new_tab()
    viewer.sign_in(house.start(), vi)
    admin.sign_in(house.url, ann)
    viewer.sees("vi, viewer")
    viewer.sees("Add replicas")
    buttons = viewer.page.locator(".body button:visible, .commands button:visible")
    assert buttons.count() > 4
    usable = {button.inner_text() for button in buttons.all() if button.is_enabled()}
    assert usable <= {"Why?", "What changed?", "Where to start, and what is missing"}
    # What a hidden or disabled button would have sent is refused by the daemon itself.
    for name in ("Stop", "Press again to stop all writes"):
        forced(viewer, name)
    viewer.sees("Not done: vi is viewer, and this needs operator")
    forced(viewer, "Reject")
    viewer.sees("Not done: vi is viewer, and this needs operator")
    admin.page.get_by_role("button", name="Stop", exact=True).wait_for()  # it was not stopped
    admin.sees("ann, admin")
    admin.press("Stop")
    admin.press("Press again to stop all writes")
    viewer.sees("trimtab writes nothing")


def test_a_wrong_token_is_refused_and_a_revoked_one_is_signed_out(
    new_house: NewHouse, tab: Tab
) -> None:
    house = new_house("shadow")
    ann = house.token("ann", Role.ADMIN)
    tab.expected = "401"
    tab.sign_in(house.start(), "trimtab_00000000_" + "0" * 64)
    tab.sees("The daemon says: token 00000000 is not known")
    tab.sign_in(house.url, ann)
    tab.sees("ann, admin")
    (cookie,) = tab.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert ann not in str(tab.context.storage_state())
    house.revoke("ann")
    tab.page.get_by_label("Token").wait_for()
    tab.page.goto(house.url)
    tab.page.get_by_label("Token").wait_for()


def test_it_says_when_the_daemon_is_away_and_comes_back_by_itself(
    new_house: NewHouse, tab: Tab
) -> None:
    house = new_house("guarded")
    tab.page.goto(house.start())
    tab.sees(r"\d+ rps")
    house.daemon.send_signal(signal.SIGKILL)
    house.daemon.wait()
    tab.sees(r"The daemon is away for \d+:\d\d, since \d\d:\d\d:\d\d")
    tab.sees("the service carries on with your autoscaler")
    assert tab.page.get_by_role("button", name="shadow").is_disabled()
    tab.press("Stop")
    tab.press("Press again to stop all writes")
    tab.sees("Not done: the daemon does not answer")
    house.start_daemon()
    tab.page.get_by_text("The daemon is away").wait_for(state="hidden")
    tab.sees("guarded: it acts both ways")


def test_it_tells_why_what_changed_and_what_is_missing(new_house: NewHouse, tab: Tab) -> None:
    house = new_house("shadow")
    tab.page.goto(house.start())
    tab.press("Why", exact=False)
    why = tab.page.get_by_role("region", name="why it was decided")
    why.get_by_text(re.compile(r"web@\d+")).wait_for()
    why.get_by_role("button", name="Close").click()
    why.wait_for(state="hidden")
    tab.press("What changed?")
    changed = tab.page.get_by_role("region", name="what changed around web")
    changed.get_by_text("misses").first.wait_for()
    tab.press("Where to start, and what is missing")
    tab.sees("A/A certificate")
    tab.page.get_by_text("Limits: none met. Nearest").click()
    tab.sees("spot replicas added in")


def test_a_page_is_under_a_policy_that_evaluates_nothing(new_house: NewHouse, tab: Tab) -> None:
    house = new_house("shadow")
    answer = tab.page.goto(house.start())
    tab.sees(r"\d+ rps")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    tab.expected = "Content Security Policy"
    tab.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'window.injected = 1'}))"
    )
    assert tab.page.evaluate("window.injected") is None


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_screen(new_house: NewHouse, tab: Tab, width: int) -> None:
    house = new_house("approve")
    tab.page.set_viewport_size({"width": width, "height": 800})
    tab.page.goto(house.start())
    tab.sees("Add replicas|Remove replicas|Move the route")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    tab.page.mouse.wheel(0, 4000)
    box = tab.page.get_by_role("button", name="Stop", exact=True).bounding_box()
    assert 0 <= box["y"] <= 800 - box["height"]


def test_a_trial_is_shown_and_ended(new_house: NewHouse, tab: Tab) -> None:
    house = new_house("guarded")
    tab.page.goto(house.start())
    tab.sees(r"\d+ rps")
    request = pb.StartCanaryRequest(service="web", old="on-demand", new="spot", who="ann")
    with grpc.insecure_channel(f"unix:{house.processes.folder}/d.sock") as channel:
        controller_pb2_grpc.ControllerStub(channel).StartCanary(request, timeout=10)
    tab.sees(r"spot beside on-demand: trial, \d+% of the route of both")
    tab.press("End")
    tab.press("Press again: the old version gets the route back")
    tab.sees("spot beside on-demand: given back, 0% of the route of both")
    tab.sees("ended by")


def test_variants_are_shown_and_ended(new_house: NewHouse, tab: Tab) -> None:
    house = new_house("guarded")
    tab.page.goto(house.start())
    tab.sees(r"\d+ rps")
    request = pb.StartRoundRequest(
        service="web",
        backend="on-demand",
        experiment="threads",
        variants=[pb.Variant(name="v1", replicas=1, settings={"threads": 8.0})],
        rate_rps=10.0,
        safe_to_mirror=True,
        who="ann",
    )
    with grpc.insecure_channel(f"unix:{house.processes.folder}/d.sock") as channel:
        controller_pb2_grpc.ControllerStub(channel).StartRound(request, timeout=10)
    tab.sees(r"threads: variants of on-demand get copies of \d+%")
    tab.sees(r"v1 threads=8, 1 replica: measuring, \d+ requests")
    tab.press("End")
    tab.press("Press again: the copies end, and the variants go")
    tab.sees("web: ended by")


def test_a_drill_is_shown_and_ended(new_house: NewHouse, tab: Tab) -> None:
    house = new_house("guarded")
    tab.page.goto(house.start())
    tab.sees(r"\d+ rps")
    plan = (
        "{drill: blind, service: web, steady: {miss_share: 1, for_s: 1},"
        " faults: [{fault: late-metrics, for_s: 60}]}"
    )
    request = pb.StartDrillRequest(service="web", plan=plan, who="ann")
    with grpc.insecure_channel(f"unix:{house.processes.folder}/d.sock") as channel:
        controller_pb2_grpc.ControllerStub(channel).StartDrill(request, timeout=10)
    tab.sees("blind, begun by ann: late-metrics, by 10 s, for 60 s")
    tab.press("End")
    tab.press("Press again: everything broken is undone now")
    tab.sees("web: ended by")
