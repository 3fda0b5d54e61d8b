"""A page opened in headless Chromium, with a record of what it asks for and complains of."""

from __future__ import annotations

from pathlib import Path

FLAGS = [  # nothing of the browser's own reaches for the network, and no name but loopback resolves
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
REPORTS = ["00_start_here", "20_repurchase_retention", "65_torture", "66_broken.FAILED"]
PAGES = [*REPORTS, "index"]
DESKTOP, PHONE = (1280, 900), (390, 844)
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
STICK_OUT = """() => {
    const root = document.documentElement, wide = root.clientWidth;
    if (Math.max(root.scrollWidth, document.body.scrollWidth) <= wide) return [];
    const held = x => x && x != document.body && (getComputedStyle(x).overflowX != "visible" || held(x.parentElement));
    const out = [...document.body.querySelectorAll("*")].filter(x => x.getBoundingClientRect().right > wide + 1);
    const told = out.filter(x => !held(x.parentElement)).map(x => x.outerHTML.slice(0, 90));
    return [`${root.scrollWidth} px wide`, ...told.slice(0, 5)];
}"""
LOCAL = ("file:", "data:", "blob:", "about:")


class Visit:
    """One page in a fresh browser context: `requests` that were not local, `complaints` of the console, `dialogs`."""

    def __init__(self, browser, path: Path, *, size=DESKTOP, javascript=True, ignore=None, **options):
        width, height = size
        self.ignore = ignore  # a complaint that is none
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            java_script_enabled=javascript,
            reduced_motion="reduce",
            **options,
        )
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.context.on("request", lambda request: self._ask(request.url))
        self.context.on("console", self._complain)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.page.on("dialog", self._dialog)
        self.page.goto(path.as_uri())

    def _ask(self, url: str) -> None:
        if not url.startswith(LOCAL):
            self.requests.append(url[:200])

    def _complain(self, message) -> None:
        if self.ignore and self.ignore in message.text:
            return
        if message.type in ("error", "warning"):  # a breach of the Content-Security-Policy is told here, too
            self.complaints.append(message.text[:400])

    def _dialog(self, dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def violations(self, axe: str) -> list[str]:
        """What axe-core finds against WCAG 2 A and AA and good practice, a line for each rule."""
        self.page.evaluate(axe)
        rules = {"resultTypes": ["violations"], "runOnly": AXE_RULES}
        found = self.page.evaluate("rules => axe.run(document, rules)", rules)["violations"]
        return [f"{rule['id']} x{len(rule['nodes'])}: {rule['nodes'][0]['html'][:160]}" for rule in found]

    def scrolls_sideways(self) -> list[str]:
        """The elements that stick out of a page wider than its window."""
        return self.page.evaluate(STICK_OUT)

    def open_all_code(self) -> None:
        """Press the one toggle."""
        toggle = self.page.locator("#shop-fold")
        if toggle.count() and toggle.is_visible():
            toggle.click()
