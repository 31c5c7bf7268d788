"""Takes the pictures of the console in docs/, of a real run in a real browser.

    python tools/screenshots.py [FOLDER]

Starts `trimtab up` twice (some four minutes) and needs Debian's chromium. Look at them:
would a tired human understand each within five seconds?
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Error, Locator, Page, sync_playwright

PORT = 8099
TRIMTAB = (sys.executable, "-c", "from trimtab_controller.cli import main; main()")
EXAMPLES = Path(__file__).parents[1] / "examples"
VARIANTS, DRILL = EXAMPLES / "experiments" / "web.yaml", EXAMPLES / "drills" / "slow-a-replica.yaml"
WIDE, PHONE = (1280, 900), (390, 844)
GROWN_MS, CALM_MS, MEASURED_MS = 40_000, 60_000, 8_000
COLOURS = 192


@contextmanager
def demonstration(mode: str) -> Iterator[str]:
    """`trimtab up` in ``mode``, with its console at `PORT`; its folder."""
    options = ("--headless", "--mode", mode, "--port", "0", "--console-port", str(PORT))
    with tempfile.TemporaryDirectory() as folder, running(folder, "up", *options):
        yield folder


@contextmanager
def running(folder: str, *command: str) -> Iterator[None]:
    """A command of trimtab's, ended by Ctrl-C."""
    process = subprocess.Popen((*TRIMTAB, *command), cwd=folder, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def opened(browser: Browser, size: tuple[int, int], scheme: str) -> Page:
    """The console in a window of ``size``, once it knows the service."""
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.set_default_timeout(60_000)
    while True:
        try:
            page.goto(f"http://127.0.0.1:{PORT}/")
            break
        except Error:  # it has not begun to listen
            page.wait_for_timeout(500)
    page.get_by_text(re.compile(r"\d+ rps")).first.wait_for()
    return page


def calm(page: Page) -> None:
    """Wait for a moment in which all is well; on a busy machine there may be none."""
    with suppress(Error):
        page.get_by_text("All calm").first.wait_for(timeout=CALM_MS)


def main() -> None:
    """Take them all."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--force-device-scale-factor=1"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)

        def take(page: Page | Locator, name: str) -> None:
            path = folder / f"console-{name}.png"
            page.screenshot(path=path)
            # A few colours are enough for a page, and take a quarter of the room.
            Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)

        with demonstration("guarded") as here:
            page = opened(browser, WIDE, "light")
            page.wait_for_timeout(GROWN_MS)
            calm(page)
            take(page, "desktop")
            take(opened(browser, WIDE, "dark"), "dark")
            take(opened(browser, PHONE, "light"), "phone")
            with running(here, "experiment", "run", str(VARIANTS), "--results", f"{here}/web.db"):
                page.get_by_text("get copies of").first.wait_for()
                page.wait_for_timeout(3 * MEASURED_MS)
                take(page.get_by_label("variants of web"), "variants")
            with running(here, "drill", str(DRILL)):
                page.get_by_text("times slower").first.wait_for()
                page.wait_for_timeout(MEASURED_MS)
                take(page.get_by_label("drill on web"), "drill")
            page.keyboard.press("s")
            page.keyboard.press("s")
            page.get_by_text("trimtab writes nothing").wait_for()
            page.wait_for_timeout(1500)
            take(page, "stopped")
        with demonstration("approve"):
            page = opened(browser, WIDE, "light")
            page.get_by_text("Add replicas").first.wait_for()
            page.wait_for_timeout(20_000)
            page.get_by_role("button", name="Approve").first.click()
            page.get_by_role("button", name="Grant").first.wait_for()
            take(page, "pending")
        browser.close()


if __name__ == "__main__":
    main()
