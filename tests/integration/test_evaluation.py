"""The evaluation against the API over fakes, served over HTTP: run, compare, generate, and what cannot be done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from services.evaluation.__main__ import main
from services.evaluation.records import RunResult, read_result
from services.foundation.errors import NoWorker
from services.wire.openai import EmbeddingItem, EmbeddingRequest, EmbeddingResponse, Usage
from tests.integration.api_bench import BASE, ApiBench
from tests.live import free_port, serve

QUESTIONS: list[dict[str, Any]] = [
    {"id": "leave", "question": "年假有几天？", "answers": ["五天"], "gold": ["年假.txt"]},
    {"id": "sick", "question": "病假需要什么？", "answers": ["医院证明"], "gold": ["病假.txt"]},
    {"id": "none", "question": "食堂几点开门？", "answers": [], "gold": []},
]


@dataclass
class Desk:
    """Runs the tool against the bench's API."""

    bench: ApiBench
    url: str
    folder: Path

    async def tool(self, *arguments: str | Path) -> int:
        return await asyncio.to_thread(main, [str(argument) for argument in arguments])

    def questions(self, *lines: dict[str, Any]) -> Path:
        path = self.folder / "questions.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
        return path

    async def run(self, *arguments: str | Path, api: str = "") -> int:
        reach = ("--base", BASE, "--api", api or self.url, "--out", self.folder / "out", "--concurrency", "1")
        return await self.tool("run", *arguments, *reach)

    def result(self, label: str) -> RunResult:
        (path,) = (self.folder / "out").glob(f"{label}-*.json")
        return read_result(path)


@pytest.fixture
async def desk(api: ApiBench, tmp_path: Path) -> AsyncIterator[Desk]:
    await api.filled()
    async with api.live() as url:
        yield Desk(api, url, tmp_path)


async def test_a_run_measures_search_and_answers(desk: Desk, capsys: pytest.CaptureFixture[str]):
    desk.bench.model.lines = [["年假有", "五天[1]。"], ["需要医院证明。"], ["根据已知信息无法回答该问题"]]
    assert await desk.run(desk.questions(*QUESTIONS), "--label", "first") == 0
    result = desk.result("first")
    leave, sick, none = result.records
    assert leave.found is not None
    assert leave.found[0].file == "年假.txt"
    assert leave.answer is not None
    assert leave.answer.text == "年假有五天[1]。"
    assert (leave.metrics["hit@1"], leave.metrics["mrr@10"], leave.metrics["ndcg@10"]) == (1, 1, 1)
    assert leave.metrics["contains"] == 1
    assert leave.metrics["token_f1"] == pytest.approx(4 / 7)
    assert (leave.metrics["citation_precision"], leave.metrics["citation_recall"]) == (1, 1)
    assert (leave.metrics["false_refusal"], sick.metrics["false_refusal"]) == (0, 1)  # it cites nothing
    assert "citation_precision" not in sick.metrics
    assert {name for name in none.metrics if not name.endswith("_ms")} == {"best_relevance", "refusal"}
    assert result.summary.figures["refusal"].mean == 1
    assert result.summary.failed == result.summary.absent_gold == 0
    assert result.configuration.embedding_model == "embed"
    printed = capsys.readouterr().out
    assert "hit@10" in printed
    assert "kept in" in printed


async def test_questions_that_fail_are_recorded_and_counted(desk: Desk, capsys: pytest.CaptureFixture[str]):
    desk.bench.model.lines = [["五天[1]"], [NoWorker(model="talk")], ["[1]"]]
    missing = {**QUESTIONS[0], "gold": ["失踪.txt"]}
    asked = desk.questions(missing, *QUESTIONS[1:])
    assert await desk.run(asked, "--refusal-rule", "sentence", "--refusal-sentence", "不知道") == 1
    result = desk.result("run")
    assert (result.summary.failed, result.summary.absent_gold) == (1, 1)
    (failure,) = result.records[1].failures
    assert (failure.step, failure.code) == ("answer", "model.no_worker")
    assert result.records[1].metrics["hit@1"] == 1  # its search was measured all the same
    assert result.summary.figures["refusal"].mean == 0
    printed = capsys.readouterr().out
    assert "1 of 3 questions failed" in printed
    assert "1 questions name gold files that the base does not hold" in printed


async def test_modes_limits_and_history(desk: Desk):
    earlier = [{"role": "user", "content": "公司有什么假？"}, {"role": "assistant", "content": "年假。"}]
    asked = desk.questions({**QUESTIONS[0], "history": earlier}, *QUESTIONS[1:])
    assert await desk.run(asked, "--mode", "search", "--label", "search", "--limit", "2") == 0
    assert len(desk.result("search").records) == 2
    assert desk.bench.model.requests == []
    assert await desk.run(asked, "--mode", "answer", "--label", "answer", "--answer-top-k", "1", "--limit", "1") == 0
    (record,) = desk.result("answer").records
    assert record.found is None
    assert record.answer is not None
    assert len(record.answer.sources) == 1
    assert [message.content for message in desk.bench.model.requests[0].messages[:2]] == ["公司有什么假？", "年假。"]
    assert desk.bench.model.requests[0].sampling.temperature == 0


async def test_two_runs_are_compared(desk: Desk, capsys: pytest.CaptureFixture[str]):
    asked = desk.questions(*QUESTIONS)
    for label, said in (("one", "不知道"), ("two", "五天，医院证明[1]")):
        desk.bench.model.lines = [[said]] * 3
        assert await desk.run(asked, "--label", label) == 0
    one, two = sorted((desk.folder / "out").glob("*.json"))
    capsys.readouterr()
    assert await desk.tool("compare", one, two, "--resamples", "200") == 0
    rows = {line.split("│")[1].strip(): line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line}
    assert [cell.strip() for cell in rows["contains"][2:5]] == ["0.0000", "1.0000", "+1.0000"]
    assert [cell.strip() for cell in rows["contains"][7:11]] == ["2", "0", "2", "*"]
    assert await desk.run(asked, "--label", "less", "--limit", "2") == 0
    (less,) = (desk.folder / "out").glob("less-*.json")
    assert await desk.tool("compare", one, less) == 2
    assert "did not ask the same questions" in capsys.readouterr().out


async def test_what_cannot_begin_says_why(desk: Desk, capsys: pytest.CaptureFixture[str]):
    asked = desk.questions(*QUESTIONS)
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert await desk.run(asked, api=nowhere) == 2
    assert "cannot be reached" in capsys.readouterr().out
    assert await desk.tool("run", asked, "--base", "nothing", "--api", desk.url) == 2
    assert "no knowledge base named 'nothing'" in capsys.readouterr().out
    assert await desk.run(asked, "--label", "../up") == 2
    assert "a label is made of" in capsys.readouterr().out
    assert await desk.run(asked, api="ftp://x") == 2
    assert "begins with http" in capsys.readouterr().out
    assert await desk.run(asked, "--key-file", desk.folder / "absent") == 2
    assert "no key can be read" in capsys.readouterr().out
    assert not (desk.folder / "out").exists()


async def test_a_generated_set_can_be_run(desk: Desk, capsys: pytest.CaptureFixture[str]):
    await desk.bench.upload(("copy.txt", "员工每年有五天年假。"), ("fee.txt", "The fee is 120 dollars per month."))
    sets = [desk.folder / name for name in ("one.jsonl", "two.jsonl")]
    for path in sets:
        assert await desk.tool("generate", "--base", BASE, "--api", desk.url, "--out", path, "--seed", "7") == 0
    assert sets[0].read_bytes() == sets[1].read_bytes()
    made = {line["question"]: line for line in map(json.loads, sets[0].read_text("utf-8").splitlines())}
    assert {question: line["answers"] for question, line in made.items()} == {
        "员工每年有几天年假？": ["五"],
        'What belongs at ____ in: "The fee is ____ dollars per month"?': ["120"],
    }
    assert sorted(made["员工每年有几天年假？"]["gold"]) == ["copy.txt", "年假.txt"]
    assert await desk.run(sets[0], "--mode", "search") == 0
    assert desk.result("run").summary.figures["hit@1"].mean == 1


async def test_a_model_writes_questions_and_what_does_not_stand_there_is_dropped(
    desk: Desk, capsys: pytest.CaptureFixture[str]
):
    out = desk.folder / "model.jsonl"
    reach = ("--base", BASE, "--api", desk.url, "--out", out, "--model", "talk")
    desk.bench.model.lines = [['```json\n{"question": "什么？", "answer": "。"}\n```'], ["nothing"]]
    assert await desk.tool("generate", *reach) == 0
    assert [json.loads(line)["answers"] for line in out.read_text("utf-8").splitlines()] == [["。"]]
    assert "dropped: 1 unreadable answers, 0 not found" in capsys.readouterr().out
    desk.bench.model.lines = [['{"question": "q", "answer": "不在其中"}'], ["nothing"]]
    assert await desk.tool("generate", *reach) == 2
    assert "no question can be made" in capsys.readouterr().out


async def test_a_judge_grades_and_an_unreadable_verdict_is_counted(desk: Desk, capsys: pytest.CaptureFixture[str]):
    desk.bench.model.lines = [["五天[1]"], ["证明[1]"], ["没有"], ['Here: {"correct": true}'], ["perhaps"]]
    assert await desk.run(desk.questions(*QUESTIONS), "--grade", "judge", "--grade-model", "talk") == 0
    result = desk.result("run")
    assert (result.summary.figures["judge_correct"].mean, result.summary.figures["judge_correct"].count) == (1, 1)
    assert result.summary.ungraded == 1
    assert result.records[1].ungraded is not None
    assert "<right_answers>医院证明</right_answers>" in desk.bench.model.prompt()
    assert "1 answers have no verdict (judge)" in capsys.readouterr().out


async def test_embeddings_grade_over_the_gateway(desk: Desk):
    vectors = {"五天": [1.0, 0.0], "五": [0.6, 0.8], "医院证明": []}
    gateway = FastAPI()

    @gateway.post("/v1/embeddings")
    async def embed(request: EmbeddingRequest) -> EmbeddingResponse:
        items = [EmbeddingItem(index=place, embedding=vectors[text]) for place, text in enumerate(request.texts)]
        return EmbeddingResponse(data=items, model=request.model, usage=Usage())

    async with serve(gateway) as url:
        for label, threshold in (("strict", "0.8"), ("mild", "0.5")):
            desk.bench.model.lines = [["五[1]"], ["五天[1]"], ["没有"]]
            graded = ("--grade", "embedding", "--gateway", url, "--grade-threshold", threshold)
            assert await desk.run(desk.questions(*QUESTIONS), "--label", label, *graded) == 0
    strict, mild = desk.result("strict"), desk.result("mild")
    assert strict.records[0].metrics["embedding_similarity"] == pytest.approx(0.6)
    assert strict.records[0].metrics["embedding_correct"] == 0
    assert mild.records[0].metrics["embedding_correct"] == 1
    assert strict.summary.ungraded == 1  # no embedding of 医院证明
    nowhere = f"http://127.0.0.1:{free_port()}"
    desk.bench.model.lines = [["五[1]"], ["五天[1]"], ["没有"]]
    lost = ("--grade", "embedding", "--gateway", nowhere, "--label", "lost")
    assert await desk.run(desk.questions(*QUESTIONS), *lost) == 1
    assert [record.failures[0].step for record in desk.result("lost").records[:2]] == ["grade", "grade"]


async def test_the_threshold_of_strict_answers_is_found_from_a_run(desk: Desk, capsys: pytest.CaptureFixture[str]):
    assert await desk.run(desk.questions(*QUESTIONS), "--mode", "search", "--label", "calibrating") == 0
    (path,) = (desk.folder / "out").glob("calibrating-*.json")
    capsys.readouterr()
    assert await desk.tool("calibrate", path, "--false-refusals", "0") == 0
    said = capsys.readouterr().out
    assert "knowledge.answering.sufficient_relevance: 0." in said
    assert "refuses 0.0% of 2 answerable questions" in said
    assert "100.0% of 1 unanswerable ones" in said
    assert await desk.tool("calibrate", desk.folder / "none.json") == 2
    (details,) = (await desk.bench.get("/knowledge_base/details")).json()["data"]
    assert details["answering"]["when_nothing_found"] is None  # nothing was changed


async def test_a_base_is_made_strict_with_the_threshold_that_was_found(desk: Desk):
    kept = {"knowledge_base_name": BASE, "answering": {"when_nothing_found": "free", "strategy": "stuff"}}
    await desk.bench.post("/knowledge_base/update_answering", kept)
    assert await desk.run(desk.questions(*QUESTIONS), "--mode", "search", "--label", "calibrating") == 0
    (path,) = (desk.folder / "out").glob("calibrating-*.json")
    assert await desk.tool("calibrate", path, "--false-refusals", "0", "--apply", "--api", desk.url) == 0
    (details,) = (await desk.bench.get("/knowledge_base/details")).json()["data"]
    assert details["answering"]["when_nothing_found"] == "strict"
    assert 0 < details["answering"]["sufficient_relevance"] < 1
    assert details["answering"]["strategy"] == "stuff"
    answers = [
        await desk.bench.events("/chat/knowledge_base_chat", {"query": one["question"], "knowledge_base_name": BASE})
        for one in QUESTIONS
    ]
    assert [bool(answer[-1]["citations"]) for answer in answers] == [True, True, False]
    await desk.bench.post("/knowledge_base/delete_knowledge_base", BASE)
    assert await desk.tool("calibrate", path, "--apply", "--api", desk.url) == 2


async def test_a_base_is_made_strict_whatever_case_its_name_was_given_in(desk: Desk):
    await desk.bench.filled(base="Handbook")
    reach = ("--api", desk.url, "--out", desk.folder / "out", "--mode", "search", "--label", "cased")
    assert await desk.tool("run", desk.questions(*QUESTIONS), "--base", "HANDBOOK", *reach) == 0
    (path,) = (desk.folder / "out").glob("cased-*.json")
    assert await desk.tool("calibrate", path, "--apply", "--api", desk.url) == 0
    listed = (await desk.bench.get("/knowledge_base/details")).json()["data"]
    policies = {details["name"]: details["answering"]["when_nothing_found"] for details in listed}
    assert policies == {"Handbook": "strict", BASE: None}
