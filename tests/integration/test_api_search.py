"""Searching over HTTP: several bases, filters beside a query, and why something was found."""

from __future__ import annotations

import pytest

from tests.integration.api_bench import BASE, LEAVE, SICK, ApiBench

OTHER = "手册"


async def two_bases(bench: ApiBench) -> None:
    await bench.filled()
    await bench.create(OTHER)
    named_alike = (
        (LEAVE[0], "经理每年有十天年假。"),
        ("设备.md", "# 泵\n\n泵的年检在三月。\n\n# 阀\n\n阀的年检在五月。"),
    )
    assert (await bench.upload(*named_alike, base=OTHER))["data"] == {"failed_files": {}}


async def test_several_bases_are_searched_at_once_and_say_which_is_which(real: ApiBench):
    await two_bases(real)
    found = await real.search("年假", more_knowledge_bases=[OTHER], top_k=10)
    of = {(one["metadata"]["knowledge_base"], one["metadata"]["source"]) for one in found}
    assert {(BASE, LEAVE[0]), (OTHER, LEAVE[0])} <= of
    alone = await real.search("年假", top_k=10)
    assert all("knowledge_base" not in one["metadata"] for one in alone)
    assert {one["metadata"]["source"] for one in alone} <= {LEAVE[0], SICK[0]}


async def test_a_base_named_twice_is_searched_once(real: ApiBench):
    await two_bases(real)
    found = await real.search("年假", more_knowledge_bases=[BASE, OTHER, OTHER], top_k=10)
    assert len({one["id"] for one in found}) == len(found)


async def test_a_further_base_that_does_not_exist_is_named(real: ApiBench):
    await two_bases(real)
    body = {"query": "年假", "knowledge_base_name": BASE, "more_knowledge_bases": ["没有"]}
    answer = (await real.post("/knowledge_base/search_docs", body)).json()
    assert (answer["code"], "没有" in answer["msg"]) == (404, True)


@pytest.mark.parametrize(
    ("wanted", "sources"),
    [
        ({"file_name": "设备%"}, {"设备.md"}),
        ({"file_name": "%.txt"}, {LEAVE[0]}),
        ({"metadata": {"source": "设备.md"}}, {"设备.md"}),
        ({"metadata": {"heading": "阀"}}, {"设备.md"}),
        ({"metadata": {"heading": "阀", "source": LEAVE[0]}}, set()),
        ({"file_name": "没有%"}, set()),
        ({"metadata": {"page": 3}}, set()),
    ],
)
async def test_a_filter_holds_beside_a_query(real: ApiBench, wanted: dict[str, object], sources: set[str]):
    await two_bases(real)
    found = await real.search("年检 年假", base=OTHER, top_k=10, **wanted)
    assert {one["metadata"]["source"] for one in found} == sources
    if "heading" in str(wanted):
        assert all("阀" in one["page_content"] for one in found)


async def test_a_search_says_why(real: ApiBench):
    await two_bases(real)
    body = {"query": "年假有几天", "knowledge_base_name": BASE, "more_knowledge_bases": [OTHER], "top_k": 1}
    answer = (await real.post("/knowledge_base/explain_search", body)).json()
    documents, why = answer["data"]["documents"], answer["data"]["why"]
    assert why["query"] == "年假有几天"
    assert {(arm["knowledge_base"], arm["kind"]) for arm in why["arms"]} == {
        (base, kind) for base in (BASE, OTHER) for kind in ("keyword", "dense")
    }
    used = [one for one in why["candidates"] if one["fate"] == "used"]
    assert [one["chunk_id"] for one in used] == [documents[0]["id"]]
    assert used[0]["file_name"] == documents[0]["metadata"]["source"]
    assert {one["fate"] for one in why["candidates"]} == {"used", "cut"}
    assert why["milliseconds"]["keyword"] > 0
    assert await real.search("年假有几天", more_knowledge_bases=[OTHER], top_k=1) == documents


async def test_an_empty_query_cannot_be_explained(real: ApiBench):
    await real.filled()
    body = {"query": " ", "knowledge_base_name": BASE}
    assert (await real.post("/knowledge_base/explain_search", body)).json()["code"] == 400


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_cites_several_bases_and_says_why_when_asked(real: ApiBench, stream: bool):
    await two_bases(real)
    body = {"query": "年假有几天", "knowledge_base_name": BASE, "more_knowledge_bases": [OTHER], "stream": stream}
    last = (await real.events("/chat/knowledge_base_chat", {**body, "explain": True, "top_k": 5}))[-1]
    assert {one["knowledge_base"] for one in last["citations"]} == {BASE, OTHER}
    assert {one["chunk_id"] for one in last["citations"]} == {
        one["chunk_id"] for one in last["why"]["candidates"] if one["fate"] == "used"
    }
    plain = (await real.events("/chat/knowledge_base_chat", body))[-1]
    assert not {"why", "support"} & set(plain)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_says_which_of_its_sentences_the_passages_support(real: ApiBench, stream: bool):
    await two_bases(real)
    real.model.lines.append(["员工每年有五天年假。[1]", "总部在火星，有 12 层。"])
    body = {"query": "年假有几天", "knowledge_base_name": BASE, "stream": stream, "explain": True, "top_k": 1}
    last = (await real.events("/chat/knowledge_base_chat", body))[-1]
    assert [(one["text"], one["start"], one["cited"], one["support"]) for one in last["support"]] == [
        ("员工每年有五天年假。[1]", 0, [1], "supported"),
        ("总部在火星，有 12 层。", 13, [], "unsupported"),
    ]


# ---- modes ----

MANUAL = ("manual.txt", "The turbine is serviced twice a year.\n\nSpare part TX-4410B fits every turbine.")
NOTICE = ("通知.txt", "公司員工每年享有年假。")


async def asked(bench: ApiBench, query: str, mode: str, **more: object) -> tuple[list[str], dict[str, object]]:
    """The files found in a mode, and why."""
    body = {"query": query, "knowledge_base_name": BASE, "search_mode": mode, "top_k": 10, **more}
    answer = (await bench.post("/knowledge_base/explain_search", body)).json()
    assert answer["code"] == 200, answer
    return [one["metadata"]["source"] for one in answer["data"]["documents"]], answer["data"]["why"]


async def test_an_exact_search_finds_only_what_stands_there(real: ApiBench):
    await real.filled()
    await real.upload(MANUAL, NOTICE)
    assert (await asked(real, "TX-4410B", "exact"))[0] == [MANUAL[0]]
    assert (await asked(real, "part tx-4410b", "exact"))[0] == [MANUAL[0]]
    assert (await asked(real, "TX-4410", "exact"))[0] == []
    assert (await asked(real, "turbine part", "exact"))[0] == []
    assert (await asked(real, "员工每年享有", "exact"))[0] == [NOTICE[0]]
    _, why = await asked(real, "年假五天", "exact")
    assert {(arm["kind"], arm["left_out"]) for arm in why["arms"]} == {("keyword", None), ("dense", "mode")}  # type: ignore[attr-defined]
    assert {one["fate"] for one in why["candidates"]} == {"unsimilar"}  # type: ignore[attr-defined]


async def test_a_fuzzy_search_puts_misspelt_words_right_and_says_so(real: ApiBench):
    await real.filled()
    await real.upload(MANUAL)
    files, why = await asked(real, "how often is the trubine servised", "fuzzy")
    assert files[0] == MANUAL[0]
    assert why["query"] == "how often is the turbine serviced"
    assert (await asked(real, "how often is the trubine servised", "hybrid"))[1]["query"] == (
        "how often is the trubine servised"
    )


async def test_a_semantic_search_asks_no_keywords(real: ApiBench):
    await real.filled()
    files, why = await asked(real, "年假", "semantic")
    assert set(files) == {LEAVE[0], SICK[0]}
    assert {(arm["kind"], arm["left_out"]) for arm in why["arms"]} == {("keyword", "mode"), ("dense", None)}  # type: ignore[attr-defined]


async def test_a_semantic_search_that_the_embedder_cannot_read_says_so(real: ApiBench):
    await real.filled()
    real.embedder.unreadable_share = 0.9
    body = {"query": "天书", "knowledge_base_name": BASE, "search_mode": "semantic"}
    answer = (await real.post("/knowledge_base/search_docs", body)).json()
    assert answer["error"]["code"] == "query.unreadable"


async def test_a_mode_that_does_not_exist_is_malformed(real: ApiBench):
    await real.filled()
    body = {"query": "年假", "knowledge_base_name": BASE, "search_mode": "magic"}
    assert (await real.post("/knowledge_base/search_docs", body)).status_code == 422


async def test_an_answer_is_searched_for_in_the_mode_that_is_asked(real: ApiBench):
    await real.filled()
    await real.upload(MANUAL)
    body = {"query": "TX-4410B", "knowledge_base_name": BASE, "top_k": 5, "search_mode": "exact"}
    last = (await real.events("/chat/knowledge_base_chat", body))[-1]
    assert [citation["file_name"] for citation in last["citations"]] == [MANUAL[0]]
    assert (await real.events("/chat/knowledge_base_chat", {**body, "query": "TX-4410"}))[-1]["citations"] == []


async def test_an_answer_is_given_no_passage_twice_where_a_search_shows_both(real: ApiBench):
    notice = "员工每年享有五天带薪年假，须提前两周向主管提出书面申请，经批准后方可休假，未休的年假不得顺延。"
    await real.create()
    await real.upload(("甲.txt", notice), ("乙.txt", notice), ("丙.txt", "年假申请表在人事系统中下载。"))
    question = "带薪年假须提前几周向谁提出书面申请？"
    found = await real.search(question, top_k=2)
    assert {one["metadata"]["source"] for one in found} == {"甲.txt", "乙.txt"}
    body = {"query": question, "knowledge_base_name": BASE, "top_k": 2}
    last = (await real.events("/chat/knowledge_base_chat", body))[-1]
    assert "丙.txt" in {citation["file_name"] for citation in last["citations"]}
