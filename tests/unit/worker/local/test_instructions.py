"""Each family's strings as its makers write them, and who is asked first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.worker.engines.local.instructions import Asked, families, instructions_for

REPRESENT = "Represent this sentence for searching relevant passages: "
WEB = "Instruct: Given a web search query, retrieve relevant passages that answer the query"

GOLDEN = {
    "BAAI/bge-large-zh": ("为这个句子生成表示以用于检索相关文章：", ""),
    "BAAI/bge-small-zh-v1.5": ("为这个句子生成表示以用于检索相关文章：", ""),
    "BAAI/bge-large-zh-noinstruct": ("", ""),
    "BAAI/bge-base-en": (REPRESENT, ""),
    "BAAI/bge-large-en-v1.5": (REPRESENT, ""),
    "BAAI/bge-m3": ("", ""),
    "BAAI/bge-multilingual-gemma2": (
        "<instruct>Given a web search query, retrieve relevant passages that answer the query.\n<query>",
        "",
    ),
    "intfloat/e5-small": ("query: ", "passage: "),
    "intfloat/e5-large-v2": ("query: ", "passage: "),
    "intfloat/multilingual-e5-base": ("query: ", "passage: "),
    "intfloat/multilingual-e5-large-instruct": (f"{WEB}\nQuery: ", ""),
    "intfloat/e5-mistral-7b-instruct": (f"{WEB}\nQuery: ", ""),
    "thenlper/gte-large-zh": ("", ""),
    "Alibaba-NLP/gte-multilingual-base": ("", ""),
    "Alibaba-NLP/gte-Qwen2-7B-instruct": (f"{WEB}\nQuery: ", ""),
    "Qwen/Qwen3-Embedding-0.6B": (f"{WEB}\nQuery:", ""),
    "moka-ai/m3e-large": ("", ""),
    "GanymedeNil/text2vec-large-chinese": ("", ""),
    "nomic-ai/nomic-embed-text-v1.5": ("search_query: ", "search_document: "),
    "mixedbread-ai/mxbai-embed-large-v1": (REPRESENT, ""),
    "mixedbread-ai/deepset-mxbai-embed-de-large-v1": ("query: ", "passage: "),
    "WhereIsAI/UAE-Large-V1": (REPRESENT, ""),
    "jinaai/jina-embeddings-v2-base-zh": ("", ""),
    "jinaai/jina-embeddings-v3": (
        "Represent the query for retrieving evidence documents: ",
        "Represent the document for retrieval: ",
    ),
    "infgrad/stella-large-zh": ("查询：", "结果："),
    "infgrad/stella-large-zh-v2": ("", ""),
    "infgrad/stella-mrl-large-zh-v3.5-1792d": ("", ""),
    "NovaSearch/stella_en_1.5B_v5": (f"{WEB}.\nQuery: ", ""),
    "sensenova/piccolo-base-zh": ("查询：", "结果："),
    "sensenova/piccolo-large-zh-v2": ("", ""),
    "Snowflake/snowflake-arctic-embed-l": (REPRESENT, ""),
    "Snowflake/snowflake-arctic-embed-m-v1.5": (REPRESENT, ""),
    "Snowflake/snowflake-arctic-embed-l-v2.0": ("query: ", ""),
    "maidalun1020/bce-embedding-base_v1": ("", ""),
    "TencentBAC/Conan-embedding-v1": ("", ""),
    "lier007/xiaobu-embedding-v2": ("", ""),
    "aspire/acge_text_embedding": ("", ""),
    "google/embeddinggemma-300m": ("task: search result | query: ", "title: none | text: "),
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2": ("", ""),
}


@pytest.mark.parametrize(("name", "expected"), GOLDEN.items())
def test_a_family_by_the_name_of_its_models(name: str, expected: tuple[str, str], tmp_path: Path):
    found = instructions_for(tmp_path / name, (), Asked())

    assert (found.query, found.passage) == expected
    assert "is of the family" in found.reason
    assert "https://" in found.reason


def test_every_family_is_in_the_table_above(tmp_path: Path):
    reached = {instructions_for(tmp_path / name, (), Asked()).reason.partition("family ")[2] for name in GOLDEN}

    assert {each.partition(":")[0] for each in reached} == {each.family for each in families()}


def test_the_name_in_the_options_tells_more_than_the_folder(tmp_path: Path):
    assert instructions_for(tmp_path / "m3e-base", ("bge-large-zh", "served"), Asked()).query.startswith("为这个句子")


def test_a_folder_of_the_hub_cache_is_known_by_its_model(tmp_path: Path):
    folder = tmp_path / "models--intfloat--multilingual-e5-small" / "snapshots" / "0123abcd"

    assert instructions_for(folder, ("served",), Asked()).passage == "passage: "


def test_a_folder_above_says_nothing(tmp_path: Path):
    assert instructions_for(tmp_path / "e5-large" / "mine", (), Asked()).query == ""


@pytest.mark.parametrize("name", ["mine", "gtex", "the5-large", "bge-reranker-large"])
def test_an_unknown_model_gets_none_and_the_log_says_so(name: str, tmp_path: Path):
    found = instructions_for(tmp_path / name, (), Asked())

    assert (found.query, found.passage) == ("", "")
    assert "nothing is known" in found.reason


def written(folder: Path, **fields: object) -> Path:
    folder.mkdir()
    (folder / "config_sentence_transformers.json").write_text(json.dumps(fields), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ({"query": "Q: ", "document": "D: "}, ("Q: ", "D: ")),
        ({"query": "Q: ", "passage": "P: "}, ("Q: ", "P: ")),
        ({"s2p_query": "S: ", "s2s_query": "no"}, ("S: ", "")),
        ({"retrieval.query": "R: ", "retrieval.passage": "P: ", "separation": ""}, ("R: ", "P: ")),
        ({"query": "Q:", "document": None}, ("Q:", "")),
    ],
)
def test_the_models_own_folder_wins_over_its_family(prompts: object, expected: tuple[str, str], tmp_path: Path):
    folder = written(tmp_path / "bge-large-zh", prompts=prompts, default_prompt_name=None)
    found = instructions_for(folder, (), Asked())

    assert (found.query, found.passage, found.other) == (*expected, "")
    assert "config_sentence_transformers.json" in found.reason


@pytest.mark.parametrize("fields", [{}, {"prompts": {}}, {"prompts": {"query": "", "document": ""}}])
def test_a_folder_that_says_nothing_leaves_it_to_the_family(fields: dict[str, object], tmp_path: Path):
    assert instructions_for(written(tmp_path / "bge-large-zh", **fields), (), Asked()).query.startswith("为这个句子")


def test_the_default_prompt_stands_before_texts_of_no_kind(tmp_path: Path):
    folder = written(
        tmp_path / "m", prompts={"text-matching": "T: ", "query": "Q: "}, default_prompt_name="text-matching"
    )
    found = instructions_for(folder, (), Asked())

    assert [found.before(kind) for kind in ("query", "passage", "")] == ["Q: ", "", "T: "]


def test_the_options_win_each_by_itself(tmp_path: Path):
    folder = tmp_path / "multilingual-e5-base"

    only_query = instructions_for(folder, (), Asked(query="Frage: "))
    emptied = instructions_for(folder, (), Asked(query="", passage=""))

    assert (only_query.query, only_query.passage) == ("Frage: ", "passage: ")
    assert "the options say so" in only_query.reason
    assert (emptied.query, emptied.passage) == ("", "")


def test_they_can_be_turned_off(tmp_path: Path):
    folder = written(tmp_path / "bge-large-zh", prompts={"query": "Q: "}, default_prompt_name="query")

    assert instructions_for(folder, (), Asked(mode="off")).query == ""
    assert instructions_for(folder, (), Asked(mode="off")).other == ""
    assert instructions_for(folder, (), Asked(mode="off", query="Q! ")).query == "Q! "
