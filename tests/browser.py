"""A headless Chromium, driven over two pipes with nothing but the standard library.

Source   The Chrome DevTools Protocol; with `--remote-debugging-pipe` the browser reads JSON from
         file descriptor 3 and writes it to 4, each message ended by a zero byte.
"""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-breakpad", "--disable-dev-shm-usage", "--hide-scrollbars"),
)
START = 20.0  # seconds
ANSWER = 10.0


class NoBrowserError(Exception):
    """There is no browser, or it does not start."""


class Browser:
    """One process of the browser; leaving the context ends it and all its children."""

    def __init__(self) -> None:
        executable = next(filter(None, map(shutil.which, NAMES)), None)
        if executable is None:
            raise NoBrowserError(f"none of {', '.join(NAMES)} is installed")
        self.folder = tempfile.mkdtemp(prefix="browser-")
        self.log = Path(self.folder) / "log"
        their_in, self.write_end = _pipe()
        self.read_end, their_out = _pipe()
        output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # Not `subprocess`: it sets descriptors 3 and 4 only by a fork, which JAX's threads forbid.
        self.pid = os.posix_spawn(
            executable,
            [executable, *FLAGS, f"--user-data-dir={self.folder}/profile", "about:blank"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, their_in, 3),
                (os.POSIX_SPAWN_DUP2, their_out, 4),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), output, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setpgroup=0,
        )
        os.close(their_in)
        os.close(their_out)
        self.numbers = itertools.count(1)
        self.unread = b""
        self.events: list[dict[str, Any]] = []
        try:
            self.call("Browser.getVersion", timeout=START)
        except (OSError, TimeoutError) as error:
            said = self.log.read_text(errors="replace")[-500:]
            self.close()
            raise NoBrowserError(f"{executable} does not start: {error}; {said}") from error

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and its children, and remove what they wrote."""
        os.close(self.write_end)
        os.close(self.read_end)
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(
        self, method: str, session: str | None = None, timeout: float = ANSWER, **parameters: Any
    ) -> dict[str, Any]:
        """Return the result of one command; events that come before it are kept."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._receive(method, deadline)
            if answer.get("id") != number:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']['message']}")
            else:
                return answer["result"]

    def wait(self, session: str, method: str, timeout: float = ANSWER) -> None:
        """Return when an event of that name has come."""
        deadline = time.monotonic() + timeout
        while not any(_is(event, session, method) for event in self.events):
            self.events.append(self._receive(method, deadline))

    def _receive(self, method: str, deadline: float) -> dict[str, Any]:
        while b"\0" not in self.unread:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.read_end], [], [], left)[0]:
                raise TimeoutError(f"{method}: no answer in time")
            chunk = os.read(self.read_end, 1 << 20)
            if not chunk:
                raise OSError(f"{method}: the browser has ended")
            self.unread += chunk
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)


class Tab:
    """A page of the browser, with what it said, raised and asked of the network."""

    def __init__(
        self, browser: Browser, width: int = 1440, height: int = 900, *, dark: bool = False
    ) -> None:
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self.target, self.session = target, attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if width < 600 else 1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def close(self) -> None:
        """Close the page."""
        self.browser.call("Target.closeTarget", targetId=self.target)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of a command to this page."""
        return self.browser.call(method, self.session, **parameters)

    def open(self, path: Path) -> None:
        """Open a file and wait until it has loaded."""
        self.call("Page.navigate", url=path.as_uri())
        self.browser.wait(self.session, "Page.loadEventFired")

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        """Press and release a key."""
        codes = {"Enter": 13, "Tab": 9, " ": 32}
        chosen = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **chosen)
        self.call("Input.dispatchKeyEvent", type="keyUp", **chosen)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of an element."""
        x, y = self.run(
            f"(e => {{ e.scrollIntoView({{block: 'center', behavior: 'instant'}});"
            " const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2] })"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write a screenshot of the window, or of the whole page."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            answer = self.call(
                "Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "scale": 1}
            )
        path.write_bytes(base64.b64decode(answer["data"]))

    def said(self) -> list[str]:
        """Return what went to the console, and what was raised and not caught."""
        self.run("0")  # what was said before has then arrived
        names = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [
            json.dumps(event["params"])
            for event in self.browser.events
            if any(_is(event, self.session, name) for name in names)
        ]

    def requested(self) -> list[str]:
        """Return the address of all that was asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.browser.events
            if _is(event, self.session, "Network.requestWillBeSent")
        ]


def _is(event: dict[str, Any], session: str, method: str) -> bool:
    return event.get("sessionId") == session and event.get("method") == method


def _pipe() -> tuple[int, int]:
    """Return a pipe whose ends are far from the numbers that the browser wants."""
    ends = os.pipe()
    far = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return far[0], far[1]
