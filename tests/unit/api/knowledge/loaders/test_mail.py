"""Mail as people's programs write it: headers, charsets that lie, versions of a body, attachments, what is hostile."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from services.api.domain.knowledge import Document, SourceFile
from services.api.domain.names import FileName
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.loaders.mail.rtf import decompress
from services.api.knowledge.loaders.mail.words import header_text
from services.foundation.errors import ChatchatError, UnreadableFile
from tests.bench.parsing import CORPORA, folded
from tests.unit.api.knowledge.loaders.compound import BINARY, EMBEDDED, message, msg, narrow, text

PROSE = "各部门请于本月底之前提交明年的预算，并附上必要的说明。财务部将在收到之后统一汇总，报总经理办公会审议。" * 3
PROSE_TRADITIONAL = (
    "各部門請於本月底之前提交明年的預算，並附上必要的說明。財務部將在收到之後統一彙總，報總經理辦公會審議。" * 3
)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def read(folder: Path, name: str, content: bytes | str) -> Document:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return LOADERS.build(path.suffix).load(SourceFile(FileName.parse(name), path))


def texts(document: Document) -> str:
    return "\n".join(section.text for section in document.sections)


def part(kind: str, content: bytes, *more: str) -> bytes:
    head = "\n".join((f"Content-Type: {kind}", "Content-Transfer-Encoding: base64", *more))
    return head.encode() + b"\n\n" + base64.encodebytes(content)


def multipart(kind: str, *parts: bytes, head: str = "Subject: topic\nFrom: a@example.com\n") -> bytes:
    boundary = f"=={len(parts)}{kind}{sum(map(len, parts))}"
    inner = b"".join(b"--" + boundary.encode() + b"\n" + each + b"\n" for each in parts)
    opening = f'{head}Content-Type: multipart/{kind}; boundary="{boundary}"\n\n'.encode()
    return opening + inner + b"--" + boundary.encode() + b"--\n"


class TestHeaders:
    def test_the_subject_is_the_heading_of_all(self, tmp_path: Path):
        document = read(
            tmp_path, "a.eml", "Subject: =?utf-8?b?5ZGo5oql?=\nFrom: =?gbk?Q?=D5=C5=C8=FD?= <z@x.cn>\n\n你好"
        )
        assert {section.place.heading for section in document.sections} == {("周报",)}
        assert "From: 张三 <z@x.cn>" in texts(document)
        assert "你好" in texts(document)

    def test_a_character_cut_in_two_between_words(self):
        raw = "合同".encode("gbk")
        words = " ".join(f"=?GBK?B?{base64.b64encode(piece).decode()}?=" for piece in (raw[:3], raw[3:]))
        assert header_text(f"Re: {words} ok") == "Re: 合同 ok"

    def test_neighbours_of_different_charsets(self):
        assert header_text("=?utf-8?q?=E4=B8=AD?= =?big5?q?=A4=E5?=") == "中文"

    @pytest.mark.parametrize("charset", ["no-such-charset", "iso-8859-1", "x-unknown", "gb2312", "utf-8*zh"])
    def test_an_unknown_or_lying_charset(self, charset: str):
        word = base64.b64encode("关于合同的通知".encode("utf-8" if "utf" in charset else "gb18030")).decode()
        assert header_text(f"=?{charset}?B?{word}?=") == "关于合同的通知"

    def test_base64_without_padding(self):
        assert header_text("=?utf-8?B?5ZGo5oqlMQ?=") == "周报1"

    @pytest.mark.parametrize("charset", ["gb18030", "utf-8", "big5"])
    def test_raw_bytes_in_headers(self, tmp_path: Path, charset: str):
        body = PROSE_TRADITIONAL if charset == "big5" else PROSE
        subject = "預算" if charset == "big5" else "预算"
        document = read(tmp_path, "a.eml", f"Subject: {subject}\nFrom: a@x.cn\n\n{body}".encode(charset))
        assert document.sections[0].place.heading == (subject,)
        assert body in texts(document)

    def test_text_that_is_no_mail(self, tmp_path: Path):
        with pytest.raises(UnreadableFile, match="no header lines"):
            read(tmp_path, "a.eml", "只是一段文字")


class TestBody:
    def test_plain_text_is_preferred(self, tmp_path: Path):
        mail = multipart(
            "alternative", part("text/plain", b"same words here"), part("text/html", b"<p>same words here")
        )
        assert texts(read(tmp_path, "a.eml", mail)).count("same words here") == 1

    def test_a_stub_gives_way_to_the_page(self, tmp_path: Path):
        page = f"<h2>预算</h2><p>{PROSE}</p>".encode()
        stub = b"Your program shows no HTML."
        mail = multipart("alternative", part("text/plain", stub), part("text/html; charset=utf-8", page))
        document = read(tmp_path, "a.eml", mail)
        assert PROSE in texts(document)
        assert "shows no HTML" not in texts(document)
        assert document.sections[-1].place.heading == ("topic", "预算")

    def test_a_table_is_read_from_the_page(self, tmp_path: Path):
        page = b"<table><tr><th>item<th>price</tr><tr><td>desk<td>120</tr></table>"
        mail = multipart("alternative", part("text/plain", b"item\nprice\ndesk\n120"), part("text/html", page))
        assert "| desk | 120 |" in texts(read(tmp_path, "a.eml", mail))

    def test_texts_around_an_attachment_are_all_read(self, tmp_path: Path):
        mail = multipart("mixed", part("text/plain", b"first"), part("image/png", PNG), part("text/plain", b"last"))
        assert texts(read(tmp_path, "a.eml", mail)).endswith("first\nlast")

    @pytest.mark.parametrize("declared", ["gb2312", "iso-8859-1", "us-ascii", "big5", "nonsense"])
    def test_the_bytes_count_more_than_a_wrong_charset(self, tmp_path: Path, declared: str):
        mail = b"Subject: a\n" + part(f"text/plain; charset={declared}", PROSE.encode("gb18030"))
        assert PROSE in texts(read(tmp_path, "a.eml", mail))

    @pytest.mark.parametrize("declared", ["punycode", "unicode_escape", "utf-7", "hex", "a\0b", "x" * 5000])
    def test_a_charset_that_is_none(self, tmp_path: Path, declared: str):
        mail = f"Subject: a\nContent-Type: text/plain; charset={declared}\n\n{PROSE * 500}".encode()
        assert PROSE in texts(read(tmp_path, "a.eml", mail))

    def test_a_western_text_stays_western(self, tmp_path: Path):
        prose = "Die Prüfung der Verträge wäre größtenteils abgeschlossen, façade déjà vu."
        mail = b"Subject: a\n" + part("text/plain; charset=iso-8859-1", prose.encode("latin-1"))
        assert prose in texts(read(tmp_path, "a.eml", mail))

    def test_flowed_lines_are_joined(self, tmp_path: Path):
        mail = "Subject: a\nContent-Type: text/plain; format=flowed\n\nlong \nline\nnext\n"
        assert "long line\nnext" in texts(read(tmp_path, "a.eml", mail))

    def test_a_missing_end_and_a_broken_encoding(self, tmp_path: Path):
        mail = 'Subject: a\nContent-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n'
        document = read(tmp_path, "a.eml", f"{mail}Content-Transfer-Encoding: base64\n\naGVsbG8gd29ybG")
        assert "hello wor" in texts(document)


class TestAttachments:
    def test_the_name_stands_in_place_and_text(self, tmp_path: Path):
        name = "=?gb2312?B?" + base64.b64encode("价格.csv".encode("gbk")).decode() + "?="
        table = part(
            "text/csv", "品名,价格\n桌子,120\n".encode("gbk"), f'Content-Disposition: attachment; filename="{name}"'
        )
        document = read(tmp_path, "a.eml", multipart("mixed", part("text/plain", b"see"), table))
        assert document.sections[-1].place.heading == ("topic", "价格.csv")
        assert "价格.csv" in texts(document)
        assert "| 桌子 | 120 |" in texts(document)

    @pytest.mark.parametrize(
        "disposition",
        [
            "attachment; filename*=utf-8''%E5%90%88%E5%90%8C.txt",
            "attachment; filename*=gbk''%BA%CF%CD%AC.txt",
            "attachment; filename*0*=utf-8''%E5%90%88; filename*1*=%E5%90%8C.txt",
            'attachment; filename="合同.txt"',
        ],
    )
    def test_names_as_programs_write_them(self, tmp_path: Path, disposition: str):
        attached = part("application/octet-stream", b"inside", f"Content-Disposition: {disposition}")
        document = read(tmp_path, "a.eml", multipart("mixed", attached))
        assert document.sections[-1].place.heading == ("topic", "合同.txt")

    def test_a_kind_by_its_type_when_the_name_has_none(self, tmp_path: Path):
        attached = part("text/csv; name=prices", b"item,price\ndesk,120\n", "Content-Disposition: attachment")
        assert "| desk | 120 |" in texts(read(tmp_path, "a.eml", multipart("mixed", attached)))

    def test_what_is_not_read_is_named(self, tmp_path: Path):
        parts = (
            part("text/plain", b"see"),
            part("application/x-foo; name=tool.foo", b"?"),
            part("text/plain; name=b.txt", PNG),
        )
        document = read(tmp_path, "a.eml", multipart("mixed", *parts))
        assert document.warnings == (
            "the part 'tool.foo' was not read: no loader reads .foo files",
            "the part 'b.txt' was not read: it is a PNG picture, not text",
        )

    def test_pictures_in_the_text_are_left_out_silently(self, tmp_path: Path):
        page = part("text/html", b'<p>hello <img src="cid:logo@x">')
        logo = part("image/png; name=logo.png", PNG, "Content-ID: <logo@x>", "Content-Disposition: inline")
        assert read(tmp_path, "a.eml", multipart("related", page, logo)).warnings == ()

    def test_a_message_in_a_message(self, tmp_path: Path):
        inner = b"Content-Type: message/rfc822\n\nSubject: inner\nFrom: b@example.com\n\nwords of the inner one"
        document = read(tmp_path, "a.eml", multipart("mixed", part("text/plain", b"see below"), inner))
        assert document.sections[-1].place.heading == ("topic", "inner")
        assert "words of the inner one" in texts(document)

    def test_a_message_in_base64(self, tmp_path: Path):
        inner = part("message/rfc822", b"Subject: inner\nFrom: b@example.com\n\nhidden words")
        assert "hidden words" in texts(read(tmp_path, "a.eml", multipart("mixed", inner)))

    def test_very_deep_messages_are_read_to_a_depth(self, tmp_path: Path):
        level = "Subject: level {}\nContent-Type: message/rfc822\n\n"
        mail = "".join(level.format(number) for number in range(150)) + "Subject: leaf\n\nleaf"
        document = read(tmp_path, "a.eml", mail)
        assert "level 5" in texts(document)
        assert "more than 5 levels deep" in document.warnings[0]

    def test_thousands_of_levels_are_refused(self, tmp_path: Path):
        with pytest.raises(UnreadableFile, match="levels deep"):
            read(tmp_path, "a.eml", "Subject: a\nContent-Type: message/rfc822\n\n" * 5000)

    def test_hostile_headers_take_no_time(self, tmp_path: Path):
        mail = f"Subject: {'=?a?b?' * 50_000}\nContent-Type: text/plain{';' * 1_000_000}\n\nbody"
        assert texts(read(tmp_path, "a.eml", mail)).endswith("body")


class TestMsg:
    def test_headers_body_and_attachment(self, tmp_path: Path):
        content = msg(
            {**text(0x37, "预算"), **text(0x1000, PROSE), **text(0x0C1A, "张三"), **text(0x5D01, "z@x.cn")},
            recipients=[{**text(0x3001, "李四"), **text(0x39FE, "l@x.cn")}],
            attachments=[{**text(0x3707, "表.csv"), (0x3701, BINARY): b"item,price\ndesk,120\n"}],
        )
        document = read(tmp_path, "a.msg", content)
        assert "From: 张三 <z@x.cn>\nTo: 李四 <l@x.cn>" in texts(document)
        assert PROSE in texts(document)
        assert document.sections[-1].place.heading == ("预算", "表.csv")
        assert "| desk | 120 |" in texts(document)

    def test_the_date(self, tmp_path: Path):
        content = msg(text(0x1000, "body"), numbers={0x39: 129458539350000000})
        assert "Date: 2011-03-29 " in texts(read(tmp_path, "a.msg", content))

    @pytest.mark.parametrize("page", [936, 950, 1252, 65001, 0, 20127, 77777])
    @pytest.mark.parametrize(("prose", "charset"), [(PROSE, "gbk"), (PROSE_TRADITIONAL, "big5")])
    def test_strings_in_a_code_page_that_is_named_missing_or_a_lie(
        self, tmp_path: Path, page: int, prose: str, charset: str
    ):
        strings = {**narrow(0x37, prose[:4], charset), **narrow(0x1000, prose, charset)}
        document = read(tmp_path, "a.msg", msg(strings, numbers={0x3FFD: page} if page else {}))
        assert document.sections[0].place.heading == (prose[:4],)
        assert prose in texts(document)

    def test_a_short_message_goes_by_its_code_page(self, tmp_path: Path):
        document = read(tmp_path, "a.msg", msg(narrow(0x37, "測試", "big5"), numbers={0x3FDE: 950}))
        assert texts(document) == "測試"

    def test_a_page_as_body(self, tmp_path: Path):
        page = f"<p>{PROSE}</p>".encode("gbk")
        document = read(tmp_path, "a.msg", msg({(0x1013, BINARY): page}, numbers={0x3FDE: 936}))
        assert PROSE in texts(document)

    def test_a_compressed_body(self, tmp_path: Path):
        rtf = rb"{\rtf1\ansi\ansicpg936{\fonttbl{\f0\fcharset134 Song;}}\f0 \'b8\'f7\'ce\'bb hello}"
        packed = bytes(4) + len(rtf).to_bytes(4, "little") + b"MELA" + bytes(4) + rtf
        assert texts(read(tmp_path, "a.msg", msg({(0x1009, BINARY): packed}))) == "各位 hello"

    def test_an_embedded_message(self, tmp_path: Path):
        inner = message({**text(0x37, "inner"), **text(0x1000, "words of the inner one")}, header_bytes=EMBEDDED)
        document = read(tmp_path, "a.msg", msg(text(0x37, "outer"), attachments=[inner]))
        assert document.sections[-1].place.heading == ("outer", "inner")
        assert "words of the inner one" in texts(document)

    def test_another_compound_file(self, tmp_path: Path):
        other = msg({}).replace("__properties".encode("utf-16-le"), "__propellers".encode("utf-16-le"))
        with pytest.raises(UnreadableFile, match="not an Outlook message"):
            read(tmp_path, "a.msg", other)

    def test_every_cut_fails_clearly_or_reads(self, tmp_path: Path):
        content = msg({**text(0x37, "subject"), **text(0x1000, PROSE * 20)}, recipients=[text(0x3001, "x")])
        for size in range(1, len(content), 500):
            try:
                assert read(tmp_path, "a.msg", content[:size]).sections
            except UnreadableFile as refused:
                assert str(tmp_path) not in str(refused)  # noqa: PT017 - either outcome is right


class TestCompressedRtf:
    """The examples of [MS-OXRTFCP] 4.1 and 4.2."""

    def test_simple(self):
        packed = "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
        assert decompress(bytes.fromhex(packed)) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"

    def test_reading_what_is_being_written(self):
        packed = "1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0"
        assert decompress(bytes.fromhex(packed)) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"

    def test_not_compressed(self):
        rtf = b"{\\rtf1 hello}"
        head = (len(rtf) + 12).to_bytes(4, "little") + len(rtf).to_bytes(4, "little") + b"MELA" + bytes(4)
        assert decompress(head + rtf) == rtf

    @pytest.mark.parametrize("size", [0, 10, 16, 20, 30])
    def test_cut_off(self, size: int):
        packed = "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
        assert b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n".startswith(decompress(bytes.fromhex(packed)[:size]))


class TestMhtml:
    HEAD = "From: <Saved by Blink>\nSnapshot-Content-Location: https://x.cn/page\nSubject: saved\n"

    def test_the_root_by_its_location(self, tmp_path: Path):
        frame = part("text/html", b"<p>advertisement", "Content-Location: https://x.cn/frame")
        root = part("text/html", "<p>正文内容".encode(), "Content-Location: https://x.cn/page")
        document = read(tmp_path, "a.mhtml", multipart("related", frame, root, part("image/png", PNG), head=self.HEAD))
        assert texts(document) == "正文内容"
        assert document.warnings == ("1 framed pages (advertisements, widgets) were not read",)

    def test_the_root_by_the_start_parameter(self, tmp_path: Path):
        pages = [part("text/html", f"<p>{name}".encode(), f"Content-ID: <{name}@x>") for name in ("one", "two")]
        content = multipart("related", *pages).replace(b"multipart/related;", b'multipart/related; start="<two@x>";')
        assert texts(read(tmp_path, "a.mht", content)) == "two"

    @pytest.mark.parametrize("declared", ["; charset=gb2312", '; charset="utf-8"', ""])
    def test_charsets(self, tmp_path: Path, declared: str):
        page = f'<meta charset="gb2312"><p>{PROSE}'.encode("gbk")
        assert texts(read(tmp_path, "a.mht", b"MIME-Version: 1.0\n" + part(f"text/html{declared}", page))) == PROSE

    @pytest.mark.parametrize("encoding", ["8bit", "binary"])
    def test_without_transfer_encoding(self, tmp_path: Path, encoding: str):
        head = f"MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n"
        assert texts(read(tmp_path, "a.mht", f"{head}<p>{PROSE}")) == PROSE

    def test_a_frameset(self, tmp_path: Path):
        pages = (part("text/html", b"<frameset><frame src=a></frameset>"), part("text/html", b"<p>words"))
        assert texts(read(tmp_path, "a.mht", multipart("related", *pages))) == "words"

    def test_no_page(self, tmp_path: Path):
        with pytest.raises(UnreadableFile, match="no web page"):
            read(tmp_path, "a.mht", multipart("related", part("image/png", PNG)))


def test_an_archive_in_a_mail_in_an_archive(tmp_path: Path):
    def packed(name: str, content: bytes) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(name, content)
        return stream.getvalue()

    inner = packed("c.txt", b"words at the bottom")
    mail = multipart("mixed", part("application/zip; name=b.zip", inner, "Content-Disposition: attachment"))
    document = read(tmp_path, "a.zip", packed("mail.eml", mail))
    assert document.sections[-1].place.heading == ("mail.eml", "topic", "b.zip", "c.txt")
    assert "words at the bottom" in texts(document)


def corpus(folder: str) -> list[dict[str, Any]]:
    manifest = CORPORA / folder / "manifest.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else []
    return [json.loads(line) for line in lines]


@pytest.mark.corpora
@pytest.mark.skipif(not CORPORA.exists(), reason="shared/corpora is not here")
class TestCorpora:
    def test_every_phrase_is_found(self, tmp_path: Path):
        entries = [entry for entry in corpus("documents") if entry["path"].startswith(("eml/", "msg/", "mhtml/"))]
        assert entries
        for entry in entries:
            path = CORPORA / "documents" / entry["path"]
            whole = folded(texts(read(tmp_path, path.name, path.read_bytes())))
            assert [phrase for phrase in entry["must_contain"] if folded(phrase) not in whole] == []

    def test_hostile_files_do_what_is_expected(self, tmp_path: Path):
        entries = [entry for entry in corpus("hostile") if str(entry.get("path")).endswith((".eml", ".zip"))]
        assert entries
        for entry in entries:
            path = CORPORA / "hostile" / entry["path"]
            try:
                read(tmp_path, path.name, path.read_bytes())
                outcome = "ok"
            except ChatchatError:
                outcome = "clear error"
            assert outcome in entry["expect"], entry["path"]
