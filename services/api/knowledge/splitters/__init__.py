"""The splitter shelf: how a document is cut into passages. One file per splitter, one line here."""

from services.api.domain.ports import Splitter
from services.foundation.registry import Registry

SPLITTERS: Registry[Splitter] = Registry(
    "splitter",
    __name__,
    {
        "AliTextSplitter": "classic.ali:AliTextSplitter",
        "ChineseRecursiveTextSplitter": "classic.chinese_recursive:ChineseRecursiveTextSplitter",
        "ChineseTextSplitter": "classic.chinese_text:ChineseTextSplitter",
        "MarkdownHeaderTextSplitter": "classic.markdown_headers:MarkdownHeaderTextSplitter",
        "RecursiveCharacterTextSplitter": "classic.recursive_character:RecursiveCharacterTextSplitter",
        "SpacyTextSplitter": "classic.spacy:SpacyTextSplitter",
        "recursive": "recursive:RecursiveSplitter",
        "sentences": "sentences:SentenceSplitter",
    },
)
