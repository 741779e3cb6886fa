"""The system's Chromium, headless, each time with an empty profile, and with no way to any host but this one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Request, ViewportSize, expect

from alert_pipelines_tests.patience import LIMIT_S

SIZE: ViewportSize = {"width": 1440, "height": 900}

_LIMIT_MS = LIMIT_S * 1000

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No host but this one; a route that refuses others would switch off the cache and be asked of each request.
    f"--host-resolver-rules=MAP * ~NOTFOUND, {', '.join(f'EXCLUDE {host}' for host in sorted(_LOOPBACK))}",
)

# The chart of a run that goes on asks for sixty frames a second, and so does the dot that pulses beside it without end;
# each is drawn without a graphics card.
_FEW_FRAMES = """
window.requestAnimationFrame = frame => setTimeout(() => frame(performance.now()), 200);
window.cancelAnimationFrame = clearTimeout;
const once = new CSSStyleSheet();
once.replaceSync("*, ::before, ::after { animation-iteration-count: 1 !important; }");
document.adoptedStyleSheets.push(once);
"""


def launch(playwright: Playwright) -> Browser:
    """Start Chromium; its profile is new and goes with it."""
    expect.set_options(timeout=_LIMIT_MS)
    return playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)


@dataclass(frozen=True)
class Visit:
    """One window on the UI, and the addresses beyond this host that it asked for in vain."""

    context: BrowserContext
    page: Page
    refused: list[str] = field(default_factory=list)


@contextmanager
def visit(browser: Browser, base_url: str) -> Iterator[Visit]:
    """Open a window whose relative addresses are those of `base_url`; close it with the context."""
    context = browser.new_context(base_url=base_url, viewport=SIZE, locale="en-GB", timezone_id="UTC")
    context.set_default_timeout(_LIMIT_MS)
    context.add_init_script(_FEW_FRAMES)
    made = Visit(context, context.new_page())

    def note_other_hosts(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and parts.hostname not in _LOOPBACK:
            made.refused.append(request.url)

    context.on("request", note_other_hosts)
    try:
        yield made
    finally:
        context.close()
