"""Markup, records and source code against the loader contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.api.knowledge.loaders import LOADERS
from tests.contract.loader import WORDS, LoaderContract

EXTENSIONS_OF_CODE = sorted(LOADERS.load(".py").extensions)


class _OnShelf(LoaderContract):
    content: str
    empty: str = " \n\n\t "

    @pytest.fixture
    def loader(self):
        return LOADERS.build(self.extension)

    def write(self, path: Path) -> None:
        path.write_text(self.content, encoding="utf-8")

    def write_empty(self, path: Path) -> None:
        path.write_text(self.empty, encoding="utf-8")


class TestJson(_OnShelf):
    extension = ".json"
    content = json.dumps({"first": WORDS[0], "then": [{"deep": WORDS[1]}, WORDS[2]]})
    empty = "[{}, []]"


class TestJsonLines(_OnShelf):
    extension = ".jsonl"
    content = "\n".join(json.dumps({"text": word}) for word in WORDS)


class TestNdjson(TestJsonLines):
    extension = ".ndjson"


class TestYaml(_OnShelf):
    extension = ".yaml"
    content = f"first: {WORDS[0]}\nthen:\n  - {WORDS[1]}\nlast: {WORDS[2]}\n"
    empty = "---\n"


class TestYml(TestYaml):
    extension = ".yml"


class TestToml(_OnShelf):
    extension = ".toml"
    content = f'# {WORDS[0]}\n[a.b]\nx = "{WORDS[1]}"\ny = """\n{WORDS[2]}"""\n'


class TestIni(_OnShelf):
    extension = ".ini"
    content = f"; {WORDS[0]}\n[section]\nx = {WORDS[1]}\ny = {WORDS[2]}\n"


class TestCfg(TestIni):
    extension = ".cfg"


class TestProperties(_OnShelf):
    extension = ".properties"
    content = f"# {WORDS[0]}\nx={WORDS[1].encode('unicode_escape').decode()}\ny={WORDS[2]}\n"


class TestNotebook(_OnShelf):
    extension = ".ipynb"
    content = json.dumps(
        {
            "cells": [
                {"cell_type": "markdown", "source": [f"# {WORDS[0]}"]},
                {"cell_type": "code", "source": f"print('{WORDS[1]}')", "outputs": [{"text": [WORDS[2]]}]},
            ]
        }
    )
    empty = '{"cells": []}'


class TestSrt(_OnShelf):
    extension = ".srt"
    content = "".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n{word}\n\n" for n, word in enumerate(WORDS, start=1))
    empty = "1\n00:00:01,000 --> 00:00:02,000\n\n"


class TestVtt(_OnShelf):
    extension = ".vtt"
    content = "WEBVTT\n\n" + "".join(f"00:0{n}.000 --> 00:0{n}.900\n{word}\n\n" for n, word in enumerate(WORDS))
    empty = "WEBVTT\n\nNOTE nothing\n"


class TestEvernote(_OnShelf):
    extension = ".enex"
    content = (
        f"<en-export><note><title>{WORDS[0]}</title><content><![CDATA[<en-note><p>{WORDS[1]}</p><p>{WORDS[2]}</p>"
        "</en-note>]]></content></note></en-export>"
    )
    empty = "<en-export></en-export>"


class TestLog(_OnShelf):
    extension = ".log"
    content = "\n".join(f"2024-01-01 00:00:00 INFO {word}" for word in WORDS)


class TestXml(_OnShelf):
    extension = ".xml"
    content = f"<book><title>{WORDS[0]}</title><p>{WORDS[1]}</p><note>{WORDS[2]}</note></book>"
    empty = "<?xml version='1.0'?><a><b/></a>"


class TestRss(TestXml):
    extension = ".rss"


class TestAtom(TestXml):
    extension = ".atom"


class TestSvg(_OnShelf):
    extension = ".svg"
    content = f"<svg><title>{WORDS[0]}</title><g><text>{WORDS[1]}</text></g><desc>{WORDS[2]}</desc></svg>"
    empty = "<svg><script>a</script></svg>"


class TestRst(_OnShelf):
    extension = ".rst"
    content = f"{WORDS[0]}\n{'=' * 30}\n\n{WORDS[1]}\n\n.. note:: {WORDS[2]}\n"
    empty = ".. a comment\n\n----\n"


class TestOrg(_OnShelf):
    extension = ".org"
    content = f"* {WORDS[0]}\n{WORDS[1]}\n\n| {WORDS[2]} |\n"
    empty = "# a comment\n#+OPTIONS: toc:nil\n"


class TestTex(_OnShelf):
    extension = ".tex"
    content = f"\\begin{{document}}\\section{{{WORDS[0]}}}\n\\textbf{{{WORDS[1]}}}\n\n{WORDS[2]}\\end{{document}}"
    empty = "\\documentclass{article}\n\\begin{document}\n% nothing\n\\end{document}\n"


class TestCode(_OnShelf):
    extension = ".py"
    content = f"# {WORDS[0]}\n\n\ndef f():\n    '''{WORDS[1]}'''\n\n\n# {WORDS[2]}\n"


@pytest.mark.parametrize("extension", EXTENSIONS_OF_CODE)
def test_every_language_stands_on_the_shelf(extension: str):
    assert LOADERS.load(extension) is LOADERS.load(".py")
