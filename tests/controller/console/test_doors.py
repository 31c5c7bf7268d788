"""What the console's doors let in, and what they send out with every answer."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from trimtab_controller.console.doors import Doors

HERE = "127.0.0.1:8088"
PAGE = "<!doctype html><style>a{}</style><script>1</script><script src='/_nicegui/x'></script>é"


async def page(request: Request) -> Response:
    return HTMLResponse(PAGE)


async def plain(request: Request) -> Response:
    return PlainTextResponse("<script>")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def client(tls: bool = False, host: str = HERE) -> TestClient:
    site = Starlette(
        routes=[
            Route("/", page),
            Route("/login", plain, methods=["GET", "POST"]),
            Route("/_nicegui_ws/socket.io", plain),
            WebSocketRoute("/_nicegui_ws/socket.io/", talk),
            Route("/docs", plain),
        ]
    )
    scheme = "https" if tls else "http"
    return TestClient(Doors(site, tls=tls, nonce=lambda: "n0"), base_url=f"{scheme}://{host}")


@pytest.mark.parametrize(
    ("host", "tls", "status"),
    [
        (HERE, False, 200),
        ("localhost", False, 200),
        ("[::1]:8088", False, 200),
        ("evil.example:8088", False, 421),
        ("127.0.0.1.evil.example", False, 421),
        ("console.example", True, 200),
    ],
    ids=["ip", "name", "v6", "a name that points here", "longer", "https vouches for any name"],
)
def test_by_which_names_it_may_be_called(host: str, tls: bool, status: int) -> None:
    assert client(tls, host).get("/").status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (f"http://{HERE}", 200),
        (None, 403),
        ("null", 403),
        ("http://evil.example", 403),
        (f"https://{HERE}", 403),
        ("http://127.0.0.1:9999", 403),
    ],
    ids=["itself", "nobody", "a sandbox", "another site", "another scheme", "another port"],
)
def test_only_the_page_itself_may_change_anything(origin: str | None, status: int) -> None:
    headers = {"origin": origin} if origin else {}
    assert client().post("/login", data={"token": "t"}, headers=headers).status_code == status
    socket = client().websocket_connect(
        "/_nicegui_ws/socket.io/", headers={"host": HERE, **headers}
    )
    if status == 200:
        with socket:
            return
    with pytest.raises(WebSocketDisconnect) as refused, socket:
        pass
    assert refused.value.code == 1008


@pytest.mark.parametrize(
    "path", ["/docs", "/../etc/passwd", "/_nicegui_ws/socket.io", "/static/../x", "/nothing"]
)
def test_there_is_nothing_but_the_page(path: str) -> None:
    answer = client().get(path)
    assert answer.status_code == 404
    assert answer.text == "Not Found\n"


@pytest.mark.parametrize("size", [2_000, None], ids=["long", "without a length"])
def test_nobody_sends_a_book(size: int | None) -> None:
    body = b"x" * size if size else iter([b"x"])
    sent = client().post("/login", content=body, headers={"origin": f"http://{HERE}"})
    assert sent.status_code == 413


def test_a_page_comes_with_a_policy_that_runs_only_what_it_came_with() -> None:
    answer = client().get("/")
    policy = answer.headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self' 'nonce-n0'"
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert len(re.findall(r'<(?:script|style) nonce="n0"', answer.text)) == 3
    assert answer.text.endswith("é")


def test_what_is_no_page_gets_no_nonce_and_https_is_remembered() -> None:
    assert client().get("/login").text == "<script>"
    assert "strict-transport-security" in client(tls=True).get("/login").headers


def test_each_page_has_a_nonce_of_its_own() -> None:
    site = Starlette(routes=[Route("/", page)])
    asked = TestClient(Doors(site, tls=False), base_url=f"http://{HERE}")
    nonces = {re.findall(r'nonce="([^"]+)"', asked.get("/").text)[0] for _ in range(5)}
    assert len(nonces) == 5
