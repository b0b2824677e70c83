"""Names from outside: whatever parses is safe to join to a folder; whatever is not safe does not parse."""

from __future__ import annotations

import base64
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.domain.names import FileName, KnowledgeBaseName
from services.foundation.errors import InvalidName
from services.foundation.paths import join_inside

ROOT = Path("/srv/knowledge/base")
TYPES = (FileName, KnowledgeBaseName)
HOSTILE_PIECES = st.sampled_from(
    [
        "..",
        ".",
        "/",
        "\\",
        "\x00",
        "\n",
        "\r",
        "\u202e",
        "\u2066",
        "\u2028",
        "／",
        "＼",
        "⁄",
        "́",
        "CON",
        "con.txt",
        " ",
        "C:",
        "~",
        "%2e",
        "%2f",
        "手册",
        "é",
        "�",
        "a" * 120,
        "\u200b",
        "-",
        "$(x)",
        "`x`",
        "'",
        '"',
        "<b>",
        "\uffff",
    ]
)
names = st.one_of(st.text(), st.lists(HOSTILE_PIECES | st.text(max_size=3), max_size=6).map("".join))
each_type = pytest.mark.parametrize("parsed_type", TYPES)


def check(parsed_type: type[FileName] | type[KnowledgeBaseName], raw: str) -> None:
    try:
        name = parsed_type.parse(raw)
    except InvalidName as refused:
        shown = str(refused.facts["name"])
        assert shown.isprintable() or all(unicodedata.category(char) not in {"Cc", "Cs"} for char in shown)
        str(refused).encode()
        return
    joined = join_inside(ROOT, name.value)
    assert joined.parent == ROOT
    assert joined.name == name.value == str(name)
    assert unicodedata.is_normalized("NFC", name.value)
    assert 0 < len(name.value.encode()) <= parsed_type.limit_bytes
    assert parsed_type.parse(name.value) == name
    assert not any(char in name.value for char in "\0\r\n/\\\u202e\u2066")


@each_type
@given(raw=names)
def test_every_name_is_safe_or_refused(parsed_type: type[FileName], raw: str):
    check(parsed_type, raw)


@each_type
def test_the_hostile_names_are_safe_or_refused(parsed_type: type[FileName], corpora: Path):
    lines = (corpora / "hostile" / "filenames.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 40
    for line in lines:
        entry = json.loads(line)
        if "name" in entry:
            check(parsed_type, entry["name"])
        else:
            raw = base64.b64decode(entry["name_bytes_base64"])
            check(parsed_type, raw.decode("utf-8", "surrogateescape"))
            check(parsed_type, raw.decode("utf-8", "replace"))


REFUSED = [
    "",
    " ",
    "\u3000",
    ".",
    "..",
    "...",
    ". .",
    ".hidden",
    "../a",
    "a/b",
    "/a",
    "a\\b",
    "C:\\a",
    "a／b",
    "a＼b",
    "a⁄b",
    "a∕b",
    "a\0b",
    "a\nb",
    "a\r\nSet-Cookie: x",
    "a\tb",
    "a\x7fb",
    "报告\u202etxt.exe",
    "a\u2066b",
    "a\u2028b",
    "a\ud800",
    " a",
    "a ",
    "a.",
    "con",
    "CON.txt",
    "nul.tar.gz",
    "LPT1",
    "com9.md",
    "x" * 300,
    "长" * 100,
    None,
    3,
    b"bytes",
    ["a"],
]


@each_type
@pytest.mark.parametrize("raw", REFUSED, ids=repr)
def test_refused(parsed_type: type[FileName], raw: object):
    with pytest.raises(InvalidName):
        parsed_type.parse(raw)


@pytest.mark.parametrize(
    "raw",
    ["手册.pdf", "员工手册（2024 版）.docx", "a b.txt", "a..b", "README", "~$tmp.xlsx", "100%.csv", "-rf", "console"],
)
def test_file_names_people_use(raw: str):
    assert FileName.parse(raw).value == raw


@pytest.mark.parametrize("raw", ["samples", "产品知识库", "HR 2024", "a.b-c_d", "базa"])
def test_base_names_people_use(raw: str):
    assert KnowledgeBaseName.parse(raw).value == raw


@pytest.mark.parametrize("raw", ["a%", "a*", "a?b", "a;b", "a'b", "a:b", "-a", "a🙂", "a+b", "<script>"])
def test_base_names_hold_only_plain_characters(raw: str):
    with pytest.raises(InvalidName):
        KnowledgeBaseName.parse(raw)


@pytest.mark.parametrize(("parsed_type", "limit"), [(FileName, 240), (KnowledgeBaseName, 100)])
def test_the_limit_is_in_bytes(parsed_type: type[FileName], limit: int):
    assert parsed_type.parse("a" * limit).value == "a" * limit
    with pytest.raises(InvalidName, match=f"{limit + 1} bytes"):
        parsed_type.parse("a" * (limit + 1))
    chinese = "长" * (limit // 3)
    assert parsed_type.parse(chinese).value == chinese
    with pytest.raises(InvalidName):
        parsed_type.parse(f"{chinese}长")


@each_type
def test_composed_and_decomposed_are_one_name(parsed_type: type[FileName]):
    assert parsed_type.parse("cafe\u0301") == parsed_type.parse("café")
    assert parsed_type.parse("cafe\u0301").value == "café"


@each_type
def test_the_failure_shows_no_control_character_and_no_novel(parsed_type: type[FileName]):
    with pytest.raises(InvalidName) as caught:
        parsed_type.parse("a\u202e\n" + "b" * 500)
    shown = str(caught.value.facts["name"])
    assert shown.startswith("a??b")
    assert len(shown) < 70


@pytest.mark.parametrize(
    ("one", "other"), [("Samples", "SAMPLES"), ("ﬁle", "FILE"), ("Ａｂ", "ab"), ("Straße", "STRASSE")]
)
def test_bases_that_mean_the_same_share_a_key(one: str, other: str):
    assert KnowledgeBaseName.parse(one).key == KnowledgeBaseName.parse(other).key


def test_an_underscore_is_no_wildcard():
    assert KnowledgeBaseName.parse("sample_").key != KnowledgeBaseName.parse("samples").key


@pytest.mark.parametrize(
    ("name", "extension"),
    [("a.PDF", ".pdf"), ("a.tar.GZ", ".gz"), ("README", ""), ("手册.md", ".md"), ("a.b c", ".b c")],
)
def test_extension(name: str, extension: str):
    assert FileName.parse(name).extension == extension


@pytest.mark.parametrize("raw", ["info.db", "INFO.DB-journal", "vectors.milvus", "Vectors.Milvus.lock"])
def test_a_base_is_not_named_like_what_the_data_folder_holds(raw: str):
    with pytest.raises(InvalidName, match="the database and the indexes"):
        KnowledgeBaseName.parse(raw)
