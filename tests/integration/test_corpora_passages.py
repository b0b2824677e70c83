"""The default splitter on real documents: where no list is cut, the passages are those before lists were kept whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from services.api.domain.knowledge import Document, Passage, SourceFile
from services.api.domain.names import FileName
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.splitters import SPLITTERS
from tests.conftest import CORPORA
from tests.contract.splitter import TOKENIZER, tokens_read

pytestmark = [
    pytest.mark.corpora,
    pytest.mark.skipif(not CORPORA.is_dir(), reason="../shared/corpora is not here"),
]

PASSAGES = {
    "csv/zh_chatglm_issues_closed_gbk.csv": (80, "b5519d7d252a2f4a"),
    "csv/zh_chatglm_issues_open_utf8.csv": (148, "af6d1d6f77ec25cd"),
    "html/zh_admission_scores.html": (9, "eded6fc1f63ca2ba"),
    "ipynb/zh_labour_law_notes.ipynb": (11, "c3a3b10156a3bd3b"),
    "json/en_elements.json": (77, "7839d0ac242a7d4a"),
    "pdf/en_8k_filing.pdf": (9, "6d2c809691b99226"),
    "pdf/en_two_column_dpr_paper.pdf": (16, "51ec29993f5b530b"),
    "srt/zh_en_ml_course.srt": (22, "8cc1b39f330f64f1"),
    "xlsx/zh_chatglm_issues_closed.xlsx": (80, "1ac319d892ac9031"),
    "xml/zh_gb2312_feed.xml": (21, "102a7f91f155c000"),
}
"""Number and digest of the passages that the splitter made before it knew of lists and of tokens."""
WINDOW_TOKENS = 256
"""Of the built-in embedder."""


def document(path: str) -> Document:
    file = CORPORA / "documents" / path
    name = FileName.parse(Path(path).name)
    return LOADERS.build(name.extension).load(SourceFile(name, file))


def split(read: Document, **options: object) -> list[Passage]:
    return SPLITTERS.build("sentences", **options).split(read)


@pytest.mark.parametrize("path", list(PASSAGES))
def test_the_passages_are_what_they_were(path: str):
    passages = split(document(path))
    written = repr([(passage.text, passage.place) for passage in passages]).encode()
    assert (len(passages), hashlib.sha256(written).hexdigest()[:16]) == PASSAGES[path]


@pytest.mark.parametrize("path", [*PASSAGES, "md/zh_llm_stack.md", "txt/zh_law_gbk.txt", "epub/en_winter_sports.epub"])
def test_the_built_in_embedder_reads_all_and_other_places_stay_as_they_are(path: str):
    read = document(path)
    plain, fitted = split(read), split(read, tokenizer=str(TOKENIZER), window_tokens=WINDOW_TOKENS)
    too_long = {passage.place.heading for passage in plain if tokens_read(passage) > WINDOW_TOKENS}
    assert max(map(tokens_read, fitted)) <= WINDOW_TOKENS
    assert [each for each in fitted if each.place.heading not in too_long] == [
        each for each in plain if each.place.heading not in too_long
    ]
