"""RTF's control words that decide what is read: parts to skip, parts that are read though marked, single characters."""

from __future__ import annotations

SKIPPED = frozenset(
    {
        "aftncn", "aftnsep", "aftnsepc", "atnauthor", "atndate", "atnid", "atnref", "author", "bkmkend", "bkmkstart",
        "colorschememapping", "colortbl", "company", "datafield", "datastore", "docvar", "falt", "filetbl", "fldinst",
        "fontemb", "ftncn", "ftnsep", "ftnsepc", "generator", "info", "latentstyles", "listoverridetable", "listtable",
        "mmathPict", "nonesttables", "nonshppict", "objalias", "objclass", "objdata", "objname", "objsect", "panose",
        "pict", "private", "revtbl", "rsidtbl", "rxe", "shprslt", "sp", "tc", "template", "themedata", "txe", "upr",
        "userprops", "xe", "xmlnstbl",
    }
)  # fmt: skip
"""Parts without text for the reader, or that repeat a text for older programs."""

MARKED_BUT_READ = frozenset({"annotation", "do", "dptxbxtext", "moMath", "moMathPara", "shpinst", "shptxt", "ud"})
"""Parts that a program may skip (`\\*`) and that hold text all the same."""

STORIES = {
    "annotation": "comments",
    "dptxbxtext": "boxes",
    "footer": "edges",
    "footerf": "edges",
    "footerl": "edges",
    "footerr": "edges",
    "footnote": "footnotes",
    "header": "edges",
    "headerf": "edges",
    "headerl": "edges",
    "headerr": "edges",
    "shptxt": "boxes",
}
"""Parts that are a text flow of their own."""

CHARACTERS = {
    "~": "\u00a0",
    "_": "-",
    "bullet": "•",
    "column": "\n",
    "emdash": "—",
    "emspace": " ",
    "endash": "–",
    "enspace": " ",
    "ldblquote": "“",
    "line": "\n",
    "lquote": "‘",
    "nestcell": "\n",
    "nestrow": "\n",
    "page": "\n",
    "qmspace": " ",
    "rdblquote": "”",
    "rquote": "’",
    "softline": "\n",
    "tab": "\t",
}
"""Words that stand for a character."""

PAGES = {"mac": 10000, "pc": 437, "pca": 850}
"""Words that name a code page without its number."""
