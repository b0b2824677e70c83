"""EPUB."""

import pytest

from services.foundation.errors import EncryptedFile
from tests.unit.api.knowledge.loaders.containers import book
from tests.unit.api.knowledge.loaders.making import load, texts


def enciphered(algorithm, target):
    return (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><e:EncryptedData '
        f'xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptionMethod Algorithm="{algorithm}"/><e:CipherData>'
        f'<e:CipherReference URI="{target}"/></e:CipherData></e:EncryptedData></encryption>'
    )


def test_book_in_reading_order_under_its_titles(tmp_path):
    pages = {
        "a.xhtml": "<h1>第一章</h1><p><ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>字</p>",
        "b%20c.xhtml": "<p>没有标题</p>",
        "d.xhtml": "<p>续</p>",
    }
    nav = (
        '<nav epub:type="landmarks"><a href="b%20c.xhtml">正文</a></nav>'
        '<nav epub:type="toc"><a href="b%20c.xhtml#x">第二章</a></nav>'
    )
    ncx = '<ncx><navPoint><navLabel><text>第三章</text></navLabel><content src="d.xhtml"/></navPoint></ncx>'
    more = {"OEBPS/nav.xhtml": nav, "OEBPS/toc.ncx": ncx, "OEBPS/b c.xhtml": "<p>没有标题</p>"}
    manifest = (
        '<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
        '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
    )
    document = load(book(tmp_path / "a.epub", pages, more, manifest))
    assert [(section.text, section.place.heading) for section in document.sections] == [
        ("第一章", ("书", "第一章")),
        ("漢字", ("书", "第一章")),
        ("第二章", ("书", "第二章")),
        ("没有标题", ("书", "第二章")),
        ("第三章", ("书", "第三章")),
        ("续", ("书", "第三章")),
    ]


def test_a_book_reaches_nothing_outside_of_its_archive(tmp_path):
    (tmp_path / "secret.xhtml").write_text("<p>secret</p>", encoding="utf-8")
    document = load(book(tmp_path / "a.epub", {"../../secret.xhtml": "", "a.xhtml": "<p>公开</p>"}))
    assert texts(document) == ["公开"]
    assert document.warnings == ("the book lists '../../secret.xhtml', which is not in it",)


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030"])
def test_pages_in_other_encodings(tmp_path, encoding):
    path = book(tmp_path / "a.epub", {"a.xhtml": ""}, {"OEBPS/a.xhtml": "<p>繁體與简体</p>".encode(encoding)})
    assert texts(load(path)) == ["繁體與简体"]


def test_a_protected_book_says_so_and_one_with_scrambled_fonts_is_read(tmp_path):
    pages = {"a.xhtml": "<p>正文</p>"}
    rights = {"META-INF/encryption.xml": enciphered("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "OEBPS/a.xhtml")}
    with pytest.raises(EncryptedFile):
        load(book(tmp_path / "a.epub", pages, rights))
    fonts = {"META-INF/encryption.xml": enciphered("http://www.idpf.org/2008/embedding", "OEBPS/a.otf")}
    assert texts(load(book(tmp_path / "b.epub", pages, fonts))) == ["正文"]
