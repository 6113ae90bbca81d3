"""A headless Chromium, as far as a test needs one: through its own debugging protocol."""

import base64
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run", "--lang=en"),
    "--remote-debugging-port=0",
)


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class Page:
    def __init__(self, wire: Connection) -> None:
        self._wire = wire
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        self.do("Runtime.enable")
        self.do("Page.enable")

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._wire.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self._wire.recv(timeout=30))).get("id") != number:
            if answer.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(answer["params"]["exceptionDetails"]["text"])
        assert "error" not in answer, answer
        return dict(answer["result"])

    def size(self, width: int, height: int) -> None:
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def ask(self, script: str) -> Any:
        """The value of an expression of JavaScript, once its promise is kept."""
        told = self.do("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, script: str, seconds: float = 15) -> Any:
        end = time.monotonic() + seconds
        while not (value := self.ask(script)):
            assert time.monotonic() < end, f"never: {script}\n{self.text()}"
            time.sleep(0.05)
        return value

    def text(self) -> str:
        return str(self.ask("document.body.innerText"))

    def see(self, words: str) -> None:
        self.wait(f"document.body.innerText.includes({json.dumps(words)})")

    def click(self, words: str, within: str = "body") -> None:
        """The first button that says so."""
        found = (
            f"[...document.querySelectorAll({json.dumps(within + ' button')})]"
            f".find((one) => one.textContent === {json.dumps(words)} && !one.disabled)"
        )
        self.wait(f"!!{found}")
        self.ask(f"{found}.click()")

    def write(self, field: str, value: str, within: str = "body") -> None:
        selector = json.dumps(f"{within} [name={field}]")
        self.wait(f"!!document.querySelector({selector})")
        self.ask(f"document.querySelector({selector}).value = {json.dumps(value)}")

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.do("Page.captureScreenshot")["data"]))


@contextmanager
def page(program: str, place: Path, url: str) -> Iterator[Page]:
    profile = place / "profile"
    command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with (place / "chromium.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        port = debugging_port(profile / "DevToolsActivePort", process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
            (first, *_) = [one for one in json.load(answer) if one["type"] == "page"]
        with connect(first["webSocketDebuggerUrl"], max_size=None) as wire:
            opened = Page(wire)
            opened.do("Page.navigate", url=url)
            yield opened
    finally:
        process.terminate()
        process.wait(timeout=20)


def debugging_port(file: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + 30
    while not file.exists() or not file.read_text().strip():
        assert process.poll() is None, "Chromium ended"
        assert time.monotonic() < end, "Chromium does not answer"
        time.sleep(0.05)
    return int(file.read_text().splitlines()[0])
