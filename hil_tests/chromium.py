"""A real Chromium without a window, led over its DevTools protocol: for tests and pictures of the
page.

    with Chromium() as browser:
        tab = browser.tab(address, width=1280, height=800)
        tab.until("document.body?.dataset.ready")
        tab.js("document.title")

Chromium is the system's (`make setup` installs it where it may); `program()` is None without one.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

__all__ = ["Chromium", "Tab", "program"]

_START_S = 60.0
_ANSWER_S = 60.0


def program() -> str | None:
    """The browser's program."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))
    return next((path for path in found if path), None)


class Tab:
    """One page. `errors`: what it threw, wrote to its console as an error, or was forbidden."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._number = 0
        self.errors: list[str] = []
        self.requests: list[str] = []  # addresses that it asked for
        for domain in ("Page", "Runtime", "Log", "Network", "Performance"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its answer."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        deadline = time.monotonic() + _ANSWER_S
        while True:
            told = json.loads(self._socket.recv(max(0.1, deadline - time.monotonic())))
            if told.get("id") == self._number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']['message']}")
                return told["result"]
            self._hear(told)

    def _hear(self, told: dict[str, Any]) -> None:
        method, params = told.get("method"), told.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            text = details.get("exception", {}).get("description") or details["text"]
            self.errors.append(text)
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(" ".join(str(a.get("value")) for a in params["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def js(self, expression: str) -> Any:
        """Value of an expression, awaited. Raises RuntimeError with what it threw."""
        found = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return found["result"].get("value")

    def until(self, expression: str, timeout_s: float = 30.0) -> Any:
        """Wait until an expression is true; its value. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            value = self.js(f"Promise.resolve({expression}).then((v) => v instanceof Node || v)")
            if value:
                return value
            time.sleep(0.05)
        raise TimeoutError(f"{expression} did not become true in {timeout_s:g} s: {self.errors}")

    def key(self, key: str, text: str = "") -> None:
        """Press a key."""
        code = {"key": key} | ({"text": text} if text else {})
        self.call("Input.dispatchKeyEvent", type="keyDown", **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def size(self, width: int, height: int, phone: bool = False) -> None:
        """Size of the window, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    def go(self, url: str) -> None:
        """Open an address."""
        self.call("Page.navigate", url=url)

    def picture(self, path: Path | None = None) -> bytes:
        """What is seen, as a PNG."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(data)
        return data

    def heap_bytes(self) -> int:
        """Heap of the page's script in use, after a collection."""
        self.call("HeapProfiler.collectGarbage")
        return int(self.call("Runtime.getHeapUsage")["usedSize"])


class Chromium:
    """The browser; a context manager. `tab` opens pages in contexts of their own."""

    def __init__(self, *flags: str) -> None:
        path = program()
        if path is None:
            raise RuntimeError("there is no Chromium: 'make setup' as root, or install chromium")
        self._folder = tempfile.TemporaryDirectory(prefix="porogauge-chromium-")
        self._process = subprocess.Popen(
            [
                path,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--no-first-run",
                "--remote-debugging-port=0",
                f"--user-data-dir={self._folder.name}",
                *flags,
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._sockets = ExitStack()
        port = Path(self._folder.name, "DevToolsActivePort")
        self._wait(lambda: port.exists() and len(port.read_text().splitlines()) == 2)
        self._port, browser = port.read_text().splitlines()
        self._browser = Tab.__new__(Tab)
        self._browser._socket = self._connect(browser)
        self._browser._number = 0

    def _wait(self, there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_S
        while not there():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError("Chromium did not start")
            time.sleep(0.05)

    def _connect(self, path: str) -> Any:
        socket = self._sockets.enter_context(
            connect(
                f"ws://127.0.0.1:{self._port}{path}",
                max_size=None,
                ping_interval=None,
                close_timeout=0.2,
            )
        )
        return socket

    def tab(self, url: str, width: int = 1280, height: int = 800, phone: bool = False) -> Tab:
        """A page with storage of its own."""
        context = self._browser.call("Target.createBrowserContext")["browserContextId"]
        target = self._browser.call(
            "Target.createTarget", url="about:blank", browserContextId=context
        )["targetId"]
        tab = Tab(self._connect(f"/devtools/page/{target}"))
        tab.size(width, height, phone)
        tab.go(url)
        return tab

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._sockets.close()  # at once, since nobody is at the other end
        self._folder.cleanup()

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
