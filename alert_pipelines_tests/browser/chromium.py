"""The system's Chromium, headless, each time with an empty profile, and with no way to any host but this one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Route, ViewportSize, expect

SIZE: ViewportSize = {"width": 1440, "height": 900}

# On two busy cores a page may take its time; nothing waits so long that is there already.
PATIENCE_MS = 90_000

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def launch(playwright: Playwright) -> Browser:
    """Start Chromium; its profile is new and goes with it."""
    expect.set_options(timeout=PATIENCE_MS)
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
    context.set_default_timeout(PATIENCE_MS)
    made = Visit(context, context.new_page())

    def only_this_host(route: Route) -> None:
        parts = urlsplit(route.request.url)
        if parts.scheme in {"data", "blob"} or parts.hostname in _LOOPBACK:
            route.continue_()
        else:
            made.refused.append(route.request.url)
            route.abort()

    context.route("**/*", only_this_host)
    try:
        yield made
    finally:
        context.close()
