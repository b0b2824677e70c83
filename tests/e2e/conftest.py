"""The real stack, once for all end-to-end tests: `startup.py -a` with the samples base and a slow echo model beside."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from playwright.sync_api import Browser, sync_playwright

from tests.stack import ROOT, Stack

SLOW = "slow-echo"
_CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def config_with_echo(folder: Path) -> Path:
    """The shipped configuration and one more model: an echo that takes its time."""
    made = folder / "configs"
    shutil.copytree(ROOT / "configs", made)
    models = yaml.safe_load((made / "models.yaml").read_text())
    models["served"][SLOW] = {"task": "chat", "engine": "echo", "rewrites": False, "options": {"delay_seconds": 0.2}}
    (made / "models.yaml").write_text(yaml.safe_dump(models, allow_unicode=True))
    return made


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    environment = {"CHATCHAT_CONFIG_DIR": str(config_with_echo(folder))}
    with Stack(folder, environment=environment, with_samples=True) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_CHROMIUM)
        yield launched
        launched.close()


@pytest.fixture
def api(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.api, trust_env=False, timeout=120) as client:
        yield client


_STYLE = """<meta charset="utf-8"><style>
table, td, th {border: 1px solid black; border-collapse: collapse; padding: 4px}
div {page-break-after: always}</style>"""
_REPORT_ZH = """<div><h1>清河电力股份有限公司 2021 年第三季度报告</h1>
<p>本公司董事会保证本报告内容真实、准确、完整。</p><p>公司注册地址为江宁市滨河路 88 号，法定代表人为林若溪。</p></div>
<div><h2>一、主要财务数据</h2><table><tr><th>项目</th><th>2021年第三季度</th><th>2020年第三季度</th></tr>
<tr><td>营业收入（元）</td><td>812,345,678.90</td><td>701,234,567.80</td></tr>
<tr><td>加权平均净资产收益率</td><td>2.37%</td><td>1.98%</td></tr>
<tr><td>基本每股收益（元/股）</td><td>0.153</td><td>0.121</td></tr></table></div>
<h2>二、重要事项</h2><p>报告期内，公司在西山新建的抽水蓄能电站于 2021 年 9 月 18 日并网发电。</p>"""
_REPORT_EN = """<div><h1>Harrow Valley Water Company: Annual Report 2022</h1>
<p>The company supplies drinking water to 412,000 people in eleven towns.
Its chief executive is Margaret Oakes.</p></div>
<div><h2>Capital expenditure</h2><table><tr><th>Item</th><th>2022</th><th>2021</th></tr>
<tr><td>Capital expenditure (million dollars)</td><td>38.6</td><td>29.4</td></tr>
<tr><td>Pipe renewed (miles)</td><td>57</td><td>43</td></tr></table></div>
<h2>Incidents</h2>
<p>The Fernhill reservoir was closed from 4 March to 19 April 2022 for repairs to its dam.</p>"""


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> dict[str, Path]:
    """Two three-page PDFs with a text layer and ruled tables, printed by Chromium: Chinese and English."""
    folder = tmp_path_factory.mktemp("reports")
    made = {}
    for name, source in (("季度报告.pdf", _REPORT_ZH), ("annual report.pdf", _REPORT_EN)):
        page = browser.new_page()
        page.set_content(_STYLE + source)
        page.pdf(path=str(folder / name), format="A4")
        page.close()
        made[name] = folder / name
    return made


@pytest.fixture
def make_base(api: httpx.Client) -> Iterator[Callable[[str], str]]:
    """Makes knowledge bases that are gone after the test."""
    made: list[str] = []

    def make(name: str) -> str:
        answer = api.post("/knowledge_base/create_knowledge_base", json={"knowledge_base_name": name}).json()
        assert answer["code"] == 200, answer
        made.append(name)
        return name

    yield make
    for name in made:
        api.post("/knowledge_base/delete_knowledge_base", json=name)


def upload(api: httpx.Client, base: str, *paths: Path, override: bool = False) -> dict[str, str]:
    """Upload files; returns the sentence of each that failed."""
    files = [("files", (path.name, path.read_bytes())) for path in paths]
    form = {"knowledge_base_name": base, "override": str(override).lower()}
    answer = api.post("/knowledge_base/upload_docs", data=form, files=files).json()
    assert answer["code"] == 200, answer
    failed: dict[str, str] = answer["data"]["failed_files"]
    return failed
