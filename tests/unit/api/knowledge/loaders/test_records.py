"""JSON, YAML, settings, notebooks, subtitles, notes, logs."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from services.api.knowledge.loaders import LOADERS
from services.foundation.errors import UnreadableFile
from tests.unit.api.knowledge.loaders.making import load, source, texts, written


def places(document):
    return [(section.text, section.place.heading) for section in document.sections]


def test_json_keys_are_the_heading_path(tmp_path):
    long = "这一段说明很长。" * 80
    content = {"shop": "总店", "orders": [{"id": 1}, {"customer": {"name": "王五", "note": long}, "paid": True}]}
    assert places(load(written(tmp_path / "a.json", json.dumps(content)))) == [
        ("shop: 总店", ()),
        ("id: 1", ("orders", "1")),
        ("name: 王五", ("orders", "2", "customer")),
        (long, ("orders", "2", "customer", "note")),
        ("paid: true", ("orders", "2")),
    ]


def test_json_objects_of_one_kind_are_rows(tmp_path):
    rows = [{"名称": f"产品{n}", "价": {"元": n}, "备注": None} for n in range(1, 61)]
    document = load(written(tmp_path / "a.json", json.dumps({"产品": rows})))
    first, second = document.sections
    assert first.text.startswith("| 名称 | 价.元 | 备注 |\n| --- | --- | --- |\n| 产品1 | 1 |  |\n")
    assert (first.place.row, first.place.last_row, first.place.heading) == (1, 50, ("产品",))
    assert (second.place.row, second.place.last_row) == (51, 60)
    assert first.whole


def test_json_oddities_are_kept_as_text(tmp_path):
    digits = "9" * 6000
    document = load(written(tmp_path / "a.json", f'{{"n": NaN, "d": 1, "d": 2, "s": "\\ud800好", "big": {digits}}}'))
    assert texts(document) == ["n: NaN\nd: 1\nd: 2\ns: 好", digits]


def test_json_encoded_bytes_are_left_out_and_said_so(tmp_path):
    document = load(written(tmp_path / "a.json", json.dumps({"name": "图", "png": "iVBORw0KGgo" * 500})))
    assert texts(document) == ["name: 图\npng: (5500 characters of encoded bytes, left out)"]


def test_several_json_values_are_one_file(tmp_path):
    assert texts(load(written(tmp_path / "a.json", '{"a": "甲"}\n{"a": "乙"}\n'))) == ["| a |\n| --- |\n| 甲 |\n| 乙 |"]


def test_json_with_a_slip_is_read_as_plain_text(tmp_path):
    document = load(written(tmp_path / "a.json", '{\n  // 注释\n  "a": "甲",\n}'))
    assert texts(document) == ['{\n  // 注释\n  "a": "甲",\n}']
    assert "line 2" in document.warnings[0]


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 20_000 + "1" + "}" * 20_000])
def test_deep_json_is_refused(tmp_path, content):
    with pytest.raises(UnreadableFile, match="nested too deeply"):
        load(written(tmp_path / "a.json", content))


def test_deep_but_readable_json_is_read(tmp_path):
    document = load(written(tmp_path / "a.json", '{"k":' * 400 + '"底"' + "}" * 400))
    assert document.sections[0].text.endswith("底")


def test_a_broken_line_is_named_and_the_rest_is_read(tmp_path):
    document = load(written(tmp_path / "a.jsonl", '{"a":"第一行"}\n{"a": broken\n\n{"a":"第三行"}\n[1,2]\n'))
    assert [(s.text, s.place.row) for s in document.sections] == [("a: 第一行", 1), ("a: 第三行", 4), ("1, 2", 5)]
    assert document.warnings == ("not valid JSON and therefore not read: line 2",)


def test_records_of_one_kind_are_rows_with_their_line_numbers(tmp_path):
    document = load(written(tmp_path / "a.ndjson", "".join(f'{{"q": "问{n}", "a": "答{n}"}}\n' for n in range(1, 4))))
    (section,) = document.sections
    assert section.text.splitlines()[-1] == "| 问3 | 答3 |"
    assert (section.place.row, section.place.last_row) == (1, 3)


def test_a_long_record_keeps_its_name(tmp_path):
    record = json.dumps({"title": "请假制度", "body": "正文。" * 300})
    document = load(written(tmp_path / "a.jsonl", f"{record}\n{record}\n"))
    assert document.sections[1].place.heading == ("请假制度", "body")


def test_pretty_json_called_jsonl_is_read(tmp_path):
    assert texts(load(written(tmp_path / "a.jsonl", '{\n "a": "甲"\n}\n'))) == ["a: 甲"]


YAML = """# 服务
server:  # 监听
  host: &h 0.0.0.0
  # 端口不可占用
  port: 7861  # 默认
other: {host: *h, tags: [甲, "\\u4e59"]}
defaults: &d {size: 1, mode: x}
mine:
  <<: *d
  size: 2
"""


def test_yaml_keeps_comments_and_follows_aliases(tmp_path):
    assert texts(load(written(tmp_path / "a.yaml", YAML))) == [
        (
            "# 服务\n# 监听\nserver.host: 0.0.0.0\n# 端口不可占用\nserver.port: 7861 # 默认\nother.host: 0.0.0.0\n"
            "other.tags: 甲, 乙\ndefaults.size: 1\ndefaults.mode: x\nmine.mode: x\nmine.size: 2"
        )
    ]


def test_yaml_tags_are_plain_text(tmp_path):
    assert texts(load(written(tmp_path / "a.yml", '!!python/object/apply:os.system ["true"]\n'))) == ["true"]


@pytest.mark.timeout(20)
def test_a_yaml_bomb_stays_small(tmp_path):
    names = [f"a{n}" for n in range(30)]
    lines = [f"{names[0]}: &{names[0]} [x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{above}'] * 9)}]" for above, name in pairwise(names)]
    document = load(written(tmp_path / "a.yaml", "\n".join(lines)))
    assert sum(map(len, texts(document))) < 500_000
    assert "stand as their names" in document.warnings[0]


@pytest.mark.parametrize("content", ["[" * 100_000, "? " * 100_000])
def test_deep_yaml_is_refused(tmp_path, content):
    with pytest.raises(UnreadableFile, match="nested more than"):
        load(written(tmp_path / "a.yaml", content))


def test_a_template_is_read_as_plain_text(tmp_path):
    document = load(written(tmp_path / "a.yaml", "{{- if .Values.on }}\nname: 网关\n{{- end }}\n"))
    assert "name: 网关" in texts(document)[0]
    assert "not valid YAML" in document.warnings[0]


def test_toml_keeps_comments_and_sections(tmp_path):
    content = '# 配置\nx = 1\n[知识库."一 号"]\ny = """\n[不是标题]\n"""\n[[a.b]]\nz = "\\u4e59"\n'
    assert places(load(written(tmp_path / "a.toml", content))) == [
        ("# 配置\nx = 1", ()),
        ('[知识库."一 号"]\ny = """\n[不是标题]\n"""', ("知识库", "一 号")),
        ('[[a.b]]\nz = "乙"', ("a", "b")),
    ]


def test_properties_escapes_are_characters(tmp_path):
    document = load(written(tmp_path / "a.properties", "# c\nname=\\u5f20\\u4e09 \\ud83d\\ude00\n"))
    assert texts(document) == ["# c\nname=张三 😀"]


def notebook(*cells):
    return json.dumps({"cells": list(cells), "nbformat": 4})


def test_notebook_headings_count_across_cells(tmp_path):
    content = notebook(
        {"cell_type": "markdown", "source": ["# 甲\n", "## 乙"]},
        {
            "cell_type": "code",
            "source": "x = 1\n  # y",
            "outputs": [{"output_type": "stream", "text": ["\x1b[31m红\n"]}],
        },
        {"cell_type": "markdown", "source": "## 丙\n正文"},
    )
    assert places(load(written(tmp_path / "a.ipynb", content))) == [
        ("甲\n乙", ("甲", "乙")),
        ("x = 1\n  # y", ("甲", "乙")),
        ("红", ("甲", "乙")),
        ("丙", ("甲", "丙")),
        ("正文", ("甲", "丙")),
    ]


def test_notebook_outputs_are_shortened_and_pictures_counted(tmp_path):
    outputs = [
        {"output_type": "stream", "text": "".join(f"line {n}\n" for n in range(100))},
        {"data": {"image/png": "AAAA", "text/plain": "<Figure>"}},
        {"data": {"text/html": "<b>x</b>", "text/plain": ["   a\n", "0  1"]}},
        {"ename": "ValueError", "evalue": "坏"},
    ]
    document = load(written(tmp_path / "a.ipynb", notebook({"cell_type": "code", "source": "f()", "outputs": outputs})))
    assert texts(document)[1].endswith("line 19\n…")
    assert texts(document)[2:] == ["   a\n0  1", "ValueError: 坏"]
    assert [warning[0] for warning in document.warnings] == ["1", "2"]


def test_an_odd_notebook_is_read_as_far_as_it_goes(tmp_path):
    cells = [
        {"cell_type": "code", "source": None, "outputs": [3]},
        {"cell_type": "?"},
        7,
        {"cell_type": "raw", "source": "原文"},
    ]
    assert texts(load(written(tmp_path / "a.ipynb", notebook(*cells)))) == ["原文"]
    old = {
        "worksheets": [
            {"cells": [{"cell_type": "heading", "level": 2, "source": "旧"}, {"cell_type": "code", "input": "y"}]}
        ]
    }
    assert places(load(written(tmp_path / "b.ipynb", json.dumps(old)))) == [("旧", ("旧",)), ("y", ("旧",))]


def cue(number, start, text):
    return f"{number}\n00:00:{start:02},000 --> 00:00:{start + 1:02},500\n{text}\n\n"


def test_subtitles_are_paragraphs_that_open_with_their_time(tmp_path):
    content = cue(1, 1, "<i>今天</i>我们") + cue(2, 3, "{\\an8}开始上课。") + cue(3, 20, "It is &amp; was\nlate.")
    assert texts(load(written(tmp_path / "a.srt", content))) == [
        "[00:00:01] 今天我们开始上课。",
        "[00:00:20] It is & was late.",
    ]


def test_two_languages_are_told_apart(tmp_path):
    content = cue(1, 1, "Machine learning\n机器学习是") + cue(2, 3, "is fun.\n有趣的。")
    assert texts(load(written(tmp_path / "a.srt", content))) == [
        "[00:00:01]\nMachine learning is fun.\n机器学习是有趣的。"
    ]


def test_webvtt_notes_are_dropped_and_speakers_kept(tmp_path):
    content = (
        "WEBVTT\n\nNOTE\nnot shown\n\nintro\n01:00:01.000 --> 01:00:02.000 align:start\n<v 王五>你好<00:00:01.500>吗\n"
    )
    assert texts(load(written(tmp_path / "a.vtt", content))) == ["[01:00:01] 王五: 你好吗"]


ENEX = """<?xml version="1.0"?><!DOCTYPE en-export SYSTEM "http://xml.evernote.com/pub/evernote-export4.dtd"><en-export>
<note><title>周会</title><created>20240102T030405Z</created><tag>会议</tag><content><![CDATA[<?xml version="1.0"?>
<!DOCTYPE en-note SYSTEM "http://xml.evernote.com/pub/enml2.dtd"><en-note><h1>议题</h1><div>预算&nbsp;审批</div></en-note>]]>
</content><resource><data encoding="base64">QUJD</data><mime>image/png</mime></resource></note>
<note><title>备忘</title><content><![CDATA[<en-note>买票</en-note>]]></content></note></en-export>"""


def test_evernote(tmp_path):
    document = load(written(tmp_path / "a.enex", ENEX))
    assert places(document) == [
        ("周会", ("周会",)),
        ("created: 2024-01-02 03:04 UTC\ntags: 会议", ("周会",)),
        ("议题", ("周会", "议题")),
        ("预算 审批", ("周会", "议题")),
        ("备忘", ("备忘",)),
        ("买票", ("备忘",)),
    ]
    assert document.warnings == ("attachments were not read: image/png",)


def test_a_stack_trace_stays_with_its_message(tmp_path):
    entry = (
        "2024-01-01 00:00:00 ERROR \x1b[31m失败\x1b[0m\nTraceback (most recent call last):\n"
        + '  File "somewhere/a.py"\n' * 30
    )
    document = load(written(tmp_path / "a.log", entry + "ValueError: 坏\n2024-01-01 00:00:01 INFO 好\n"))
    assert [(s.place.row, s.place.last_row) for s in document.sections] == [(1, 33), (34, 34)]
    assert document.sections[0].text.startswith("2024-01-01 00:00:00 ERROR 失败\n")


def test_progress_is_reported(tmp_path):
    heard = []
    path = written(tmp_path / "a.log", "line\n" * 2500)
    LOADERS.build(".log").load(replace(source(path), report=lambda done, total: heard.append((done, total))))
    assert heard == [(1000, None), (2000, None)]


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("path", "phrase"),
    [
        ("jsonl/zh_chatglm_issues_closed.jsonl", "请问这是在CLM基础上运行吗"),
        ("yaml/en_simple.yaml", "a drop of golden sun"),
        ("ipynb/zh_labour_law_notes.ipynb", "运行结果:42"),
        ("srt/zh_en_ml_course.srt", "目前最激动人心的技术之一"),
    ],
)
def test_real_files(corpora, path, phrase):
    assert phrase in "".join(texts(load(corpora / "documents" / path))).replace("：", ":")
