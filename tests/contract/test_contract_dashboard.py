"""The browser dashboard, and the settings that it shows."""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from support.asgi import Exchange, simulator

from llmsim.config import setting_specs

REMOTE = ("10.9.8.7", 4000)
PAGE = resources.files("llmsim.server").joinpath("dashboard.html").read_text(encoding="utf-8")


async def ask(path: str, client: tuple[str, int] = ("127.0.0.1", 4000), **tables: Any) -> Exchange:
    headers = {"host": "localhost", "x-simulated": "1"}
    return await simulator(**tables).ask("GET", path, client=client, headers=headers)


async def test_the_page_is_open_and_closed_in_itself() -> None:
    """DASH-1.1, DASH-1.2: Anybody gets the page; its policy allows nothing but itself, by a nonce that never recurs."""
    first, second = [await ask("/llmsim/", client=REMOTE) for _ in range(2)]
    policies = [page.headers["content-security-policy"] for page in (first, second)]
    nonces = [re.findall(r"'nonce-([^']+)'", policy) for policy in policies]

    assert first.status == 200
    assert policies[0].startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in policies[0]
    assert "unsafe" not in policies[0]
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["cache-control"] == "no-store"
    assert len(set(nonces[0])) == 1
    assert nonces[0] != nonces[1]
    assert first.body.decode().count(f'nonce="{nonces[0][0]}"') == 2


def test_the_page_asks_no_other_host() -> None:
    """DASH-1.1: No address of another host is in it, except for the name of SVG, which is not asked for."""
    assert set(re.findall(r"https?://[^\s\"'<>]+", PAGE)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|script|img|iframe)[^>]+(src|href)=(?!\"data:)", PAGE)


def test_texts_of_clients_are_never_markup() -> None:
    """DASH-1.3: Nothing is put in but by `textContent`, and no markup carries a handler or a style of its own."""
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", PAGE)
    assert not re.search(r"<[a-z][^>]*\s(on\w+|style)=", PAGE)


def test_verdict_and_notes_are_whole() -> None:
    """DASH-1.6: The verdict's text has a place of its own, and the notes of tiles take the lines that they need."""
    tiles = re.findall(r"^\.tile.*$", PAGE, re.MULTILINE)

    assert 'byId("reason").textContent = stats.verdict.text.' in PAGE
    assert 'id="reason"' in PAGE
    assert tiles
    assert not any("nowrap" in rule or "ellipsis" in rule for rule in tiles)


async def test_the_address_without_its_slash_leads_there() -> None:
    """DASH-1.1: `/llmsim` redirects."""
    answer = await ask("/llmsim")

    assert (answer.status, answer.headers["location"]) == (308, "/llmsim/")


@pytest.mark.parametrize(
    ("method", "accept", "status"),
    [
        ("GET", "text/html,application/xhtml+xml,*/*;q=0.8", 302),
        ("GET", "*/*", 404),
        ("HEAD", "*/*", 404),
        ("POST", "text/html", 404),
    ],
)
async def test_browsers_are_led_from_the_root_to_the_page(method: str, accept: str, status: int) -> None:
    """DASH-1.7: Only a browser is redirected: the base URL of a program is wrong, and it has to see that."""
    headers = {"host": "localhost", "accept": accept}
    answer = await simulator().ask(method, "/", headers=headers)

    assert answer.status == status
    assert answer.headers.get("location") == ("/llmsim/" if status == 302 else None)


async def test_settings_are_listed_without_secrets() -> None:
    """SESS-7.1: Every setting is there with its value and origin; of a secret one the value is `***`."""
    answer = await ask("/llmsim/settings", auth={"keys": ("k-secret",)}, latency={"ttft_mean_ms": 5.0})
    listed = {setting["name"]: setting for setting in answer.json["settings"]}

    assert list(listed) == [spec.name for spec in setting_specs()]
    assert listed["latency.ttft_mean_ms"]["value"] == "5.0"
    assert listed["auth.keys"]["value"] == '"***"'
    assert "k-secret" not in answer.body.decode()


async def test_settings_are_guarded() -> None:
    """SESS-7.1: As all of the control API, they are for clients of this machine."""
    answer = await ask("/llmsim/settings", client=REMOTE)

    assert answer.status == 403


@pytest.mark.tools
def test_a_browser_draws_it(tmp_path: Path) -> None:
    """DASH-1.4: A browser shows figures, charts, hostile names as text, and the journal."""
    import shutil
    import subprocess
    import urllib.request

    from support.servers import serve

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium is not None, "this test needs Chromium"
    hostile = "<img src=x onerror=document.title='broken'>"
    body = json.dumps({"model": hostile, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    with serve(tmp_path, "--workers", "1", "--latency", "instant") as server:
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/openai/v1/chat/completions",
            body,
            {"content-type": "application/json", "x-llmsim-session": "<b>s</b>"},
        )
        urllib.request.urlopen(request, timeout=30).read()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        flags += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=6000", "--dump-dom"]
        dom = subprocess.run(
            [chromium, *flags, f"http://127.0.0.1:{server.port}/llmsim/"],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    assert "<title>llmsim</title>" in dom
    assert "&lt;img src=x onerror" in dom
    assert "&lt;b&gt;s&lt;/b&gt;" in dom
    assert dom.count("<svg") >= 3
    assert "server.workers" in dom
