"""Start-up, memory, first token and ten askers of the real stack. `python -m tests.bench.stack [--write]`."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
from playwright.sync_api import sync_playwright

from tests.bench.report import publish, table
from tests.stack import Stack

QUESTIONS = (
    "怎样添加一个真正的大模型？",
    "How do I add a real model?",
    "支持哪些文件格式？",
    "Which file formats are supported?",
    "怎样修改端口？",
    "How do I change a port?",
)


def first_token_seconds(base_url: str, question: str) -> tuple[float, float]:
    """Seconds to the first piece of the answer, and to its end."""
    body = {"query": question, "knowledge_base_name": "samples", "stream": True}
    began = time.perf_counter()
    first = 0.0
    url = f"{base_url}/chat/knowledge_base_chat"
    with httpx.Client(trust_env=False, timeout=60) as client, client.stream("POST", url, json=body) as answer:
        for line in answer.iter_lines():
            if line.startswith('data: {"answer"') and not first:
                first = time.perf_counter() - began
            if '"code"' in line:
                raise AssertionError(line)
    return first, time.perf_counter() - began


def search_seconds(base_url: str, question: str) -> float:
    """Seconds of a bare search: the baseline the first token is compared with."""
    began = time.perf_counter()
    body = {"query": question, "knowledge_base_name": "samples"}
    with httpx.Client(base_url=base_url, trust_env=False, timeout=60) as client:
        client.post("/knowledge_base/search_docs", json=body).raise_for_status()
    return time.perf_counter() - began


def ask_in_a_browser(stack: Stack, question: str) -> None:
    """A person's visit, so that the web UI's memory is that of a used one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.goto(stack.webui_url)
        box = page.get_by_test_id("stChatInputTextArea")
        box.fill(question)
        box.press("Enter")
        page.locator("summary", has_text="[1]").wait_for()
        browser.close()


def memory_rows(stack: Stack) -> list[tuple[str, str, str]]:
    """Resident and proportional memory of each process, in MiB, and the sums."""
    rows, resident, shared = [], 0.0, 0.0
    for name, process in sorted(stack.processes().items()):
        try:
            found = process.memory_full_info()
        except psutil.Error:
            continue
        resident, shared = resident + found.rss, shared + found.pss
        rows.append((name, f"{found.rss / 2**20:.0f}", f"{found.pss / 2**20:.0f}"))
    return [*rows, ("**all**", f"**{resident / 2**20:.0f}**", f"**{shared / 2**20:.0f}**")]


def medians(measure: Callable[[str], float], rounds: int) -> float:
    """Median over all questions and rounds, in milliseconds."""
    return 1000 * statistics.median(measure(question) for _ in range(rounds) for question in QUESTIONS)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    parser.add_argument("--starts", type=int, default=3, help="how often the stack is started")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder), with_samples=True)
        starts, stops = [], []
        for number in range(arguments.starts):
            starts.append(stack.start() if number == 0 else _again(stack))
            if number < arguments.starts - 1:
                stops.append(stack.stop())
        first_ever = first_token_seconds(stack.api, QUESTIONS[0])[0]
        first = medians(lambda question: first_token_seconds(stack.api, question)[0], 5)
        whole = medians(lambda question: first_token_seconds(stack.api, question)[1], 5)
        search = medians(lambda question: search_seconds(stack.api, question), 5)
        with ThreadPoolExecutor(10) as pool:
            asked = [QUESTIONS[number % len(QUESTIONS)] for number in range(40)]
            crowd = sorted(1000 * one[0] for one in pool.map(lambda q: first_token_seconds(stack.api, q), asked))
        ask_in_a_browser(stack, QUESTIONS[0])
        memory = memory_rows(stack)
        stops.append(stack.stop())
    slowest, p95 = max(starts), crowd[int(len(crowd) * 0.95) - 1]
    figures = [
        ("ready after `startup.py -a`, warm install", f"{statistics.median(starts):.1f} s", f"max {slowest:.1f}"),
        ("everything down after SIGTERM", f"{statistics.median(stops):.1f} s", f"max {max(stops):.1f}"),
        ("first token of the first answer after the start", f"{1000 * first_ever:.0f} ms", "models warm, caches cold"),
        ("first token of an answer, one user", f"{first:.0f} ms", f"{first / search:.1f} × the bare search"),
        ("whole answer, one user", f"{whole:.0f} ms", f"{whole / search:.1f} × the bare search"),
        ("bare search (baseline)", f"{search:.0f} ms", "1"),
        ("first token, ten users at once", f"{statistics.median(crowd):.0f} ms", f"p95 {p95:.0f} ms, no error"),
    ]  # fmt: skip
    body = table(("figure", "median", "beside"), figures) + "\n\n" + table(("process", "RSS MiB", "PSS MiB"), memory)
    publish("The stack on the embedded default", "python -m tests.bench.stack", body, write=arguments.write)


def _again(stack: Stack) -> float:
    stack.with_samples = False
    return stack.start()


if __name__ == "__main__":
    main()
