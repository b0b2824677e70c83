import pytest

from services.api.knowledge.loaders.reading.encodings import detect, read_text
from services.foundation.errors import UnreadableFile
from tests.unit.api.knowledge.loaders.making import load, source, texts, written

CHINESE = "劳动者享有平等就业和选择职业的权利，用人单位应当按照合同约定支付报酬。\n"
TRADITIONAL = "維基大典以文言為之，典肇乎庚辰年十二月廿一，今藏文萬餘篇。\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (CHINESE, "utf-8"),
        (CHINESE, "utf-8-sig"),
        (CHINESE, "utf-16"),
        (CHINESE, "gbk"),
        (CHINESE + "𠀀㐀", "gb18030"),
        (CHINESE * 3, "utf-16-le"),
        ("Hamburgers are delicious.\n", "utf-16-be"),
        (TRADITIONAL, "big5"),
    ],
)
def test_text_survives(tmp_path, text, encoding):
    file = source(written(tmp_path / "a.txt", text.encode(encoding)))
    assert read_text(file) == (text, ())


def test_a_few_bad_bytes_are_replaced_with_a_warning(tmp_path):
    path = written(tmp_path / "a.txt", CHINESE.encode() * 3 + b"\xff\xc0\x80" + "后半段正常".encode())
    document = load(path)
    assert "后半段正常" in texts(document)[-1]
    assert "replaced" in document.warnings[0]


def test_western_text_is_not_read_as_chinese(tmp_path):
    text = "Le café est très agréable à l'été, où l'on dîne près de la forêt. " * 20
    assert "café est très agréable" in read_text(source(written(tmp_path / "a.txt", text.encode("cp1252"))))[0]


def test_noise_is_refused(tmp_path):
    noise = bytes((index * index * 7 + index // 3) % 256 for index in range(50_000))
    with pytest.raises(UnreadableFile):
        detect(source(written(tmp_path / "a.txt", noise)))


def test_control_characters_in_utf8_are_no_noise(tmp_path):
    path = written(tmp_path / "a.txt", b"\x00\x01\x02\x1b[31m" * 500 + "正常文字".encode())
    assert texts(load(path))[0].endswith("正常文字")


def test_html_honours_its_declared_charset(tmp_path):
    page = f'<html><head><meta charset="gb2312"></head><body><p>{CHINESE}</p>'
    assert CHINESE.strip() in texts(load(written(tmp_path / "a.html", page.encode("gbk"))))
