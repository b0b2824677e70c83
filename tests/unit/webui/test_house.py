"""What the web UI must never do: hand HTML to the browser, or fetch anything from another host."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_no_html_is_handed_to_the_browser() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "webui").rglob("*.py"))
    for banned in ("unsafe_allow_html", "components.v1", "components.html", "st.html(", "st.iframe("):
        assert banned not in code


def test_nothing_is_named_on_another_host() -> None:
    for path in [*(ROOT / "webui").rglob("*.*"), ROOT / ".streamlit" / "config.toml"]:
        if path.suffix in {".py", ".yaml", ".svg", ".toml"}:
            addresses = re.findall(r"https?://[a-z][^\s\"')>]*", path.read_text(encoding="utf-8"))
            assert [found for found in addresses if found != "http://www.w3.org/2000/svg"] == [], path


def test_views_and_door_stay_small() -> None:
    assert len((ROOT / "webui" / "app.py").read_text(encoding="utf-8").splitlines()) <= 60
    for path in (ROOT / "webui").rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 200, path
