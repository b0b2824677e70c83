"""What LaTeX's macros and environments leave of their arguments; `tex` looks them up here."""

from __future__ import annotations

HEADINGS = {
    "part": 1,
    "chapter": 2,
    "section": 3,
    "subsection": 4,
    "subsubsection": 5,
    "frametitle": 5,
    "paragraph": 6,
    "subparagraph": 7,
}
CAPTURED = {
    **dict.fromkeys(("cite", "citep", "citet", "parencite", "textcite", "autocite", "upcite"), "cite"),
    **dict.fromkeys(("footnote", "footnotetext", "thanks", "marginpar"), "aside"),
    **dict.fromkeys(("caption", "captionof", "subcaption", "framesubtitle"), "block"),
    **dict.fromkeys(("input", "include", "subfile", "lstinputlisting", "bibliography", "addbibresource"), "include"),
    "title": "title",
    "author": "front",
    "date": "front",
    "institute": "front",
    "subtitle": "front",
}
"""Macros whose argument is put elsewhere or marked."""
DROPPED_ARGUMENTS = {
    **dict.fromkeys(
        [
            *("label", "ref", "eqref", "pageref", "autoref", "cref", "Cref", "nameref", "index", "vspace", "hspace"),
            *("usepackage", "documentclass", "RequirePackage", "includegraphics", "pagestyle", "thispagestyle"),
            *("bibliographystyle", "pagenumbering", "textcolor", "color", "colorbox", "href", "raisebox", "parbox"),
            *(
                "hypersetup",
                "geometry",
                "definecolor",
                "graphicspath",
                "usetheme",
                "usecolortheme",
                "lstset",
                "bibitem",
            ),
            *("hypertarget", "hyperlink", "selectfont", "linespread", "setmainfont", "setCJKmainfont", "makebox"),
            *(
                "usetikzlibrary",
                "fontfamily",
                "rule",
                "phantom",
                "hphantom",
                "vphantom",
                "nocite",
                "tikzset",
                "scalebox",
            ),
            *("ctexset", "setcounter", "stepcounter", "theoremstyle", "hyphenation", "bibliographyunit", "cline"),
        ],
        1,
    ),
    **dict.fromkeys(
        [
            *("setlength", "addtolength", "newcommand", "renewcommand", "providecommand", "DeclareMathOperator"),
            *("fontsize", "resizebox", "addtocounter", "newtheorem", "rotatebox", "multirow", "fcolorbox"),
        ],
        2,
    ),
    **dict.fromkeys(["newenvironment", "renewenvironment", "DeclareRobustCommand", "addcontentsline"], 3),
    "rotatebox": 1,
    "rule": 2,
    "setcounter": 2,
    "definecolor": 3,
    "DeclareRobustCommand": 2,
}
"""How many arguments in braces say nothing to a reader."""
SYMBOLS = {
    "LaTeX": "LaTeX",
    "LaTeXe": "LaTeX2e",
    "TeX": "TeX",
    "XeLaTeX": "XeLaTeX",
    "XeTeX": "XeTeX",
    "BibTeX": "BibTeX",
    "ldots": "…",
    "dots": "…",
    "textellipsis": "…",
    "textbackslash": "\\",
    "textasciitilde": "~",
    "textasciicircum": "^",
    "textbar": "|",
    "textless": "<",
    "textgreater": ">",
    "textendash": "–",
    "textemdash": "—",
    "textregistered": "®",
    "texttrademark": "™",
    "textdegree": "°",
    "textbullet": "•",
    "copyright": "©",
    "pounds": "£",
    "euro": "€",
    "S": "§",
    "P": "¶",
    "ss": "ß",
    "ae": "æ",
    "AE": "Æ",
    "oe": "œ",
    "OE": "Œ",
    "o": "ø",
    "O": "Ø",
    "aa": "å",
    "AA": "Å",
    "l": "ł",
    "L": "Ł",
    "i": "i",
    "and": ", ",
    "quad": " ",
    "qquad": " ",
    "space": " ",
    "par": "\n\n",
    "bigskip": "\n\n",
    "medskip": "\n\n",
    "smallskip": "\n\n",
    "newpage": "\n\n",
    "clearpage": "\n\n",
}
ACCENTS = {
    "`": "\u0300",
    "'": "\u0301",
    "^": "\u0302",
    "~": "\u0303",
    "=": "\u0304",
    "u": "\u0306",
    ".": "\u0307",
    '"': "\u0308",
    "r": "\u030a",
    "H": "\u030b",
    "v": "\u030c",
    "c": "\u0327",
    "k": "\u0328",
}
MATH = frozenset(
    [
        *("equation", "align", "gather", "multline", "eqnarray", "displaymath", "math", "flalign", "alignat"),
        *("equation*", "align*", "gather*", "multline*", "eqnarray*", "flalign*", "alignat*"),
    ]
)
CODE = frozenset({"verbatim", "verbatim*", "Verbatim", "lstlisting", "minted", "alltt"})
UNREAD = frozenset({"comment", "tikzpicture", "pgfpicture", "filecontents", "filecontents*"})
TABLES = {
    "tabular": 1,
    "tabular*": 2,
    "tabularx": 2,
    "tabulary": 2,
    "longtable": 1,
    "array": 1,
    "tblr": 1,
    "longtblr": 1,
}
"""Tables, with how many arguments describe their columns."""
ENVIRONMENT_ARGUMENTS = {
    "minipage": 1,
    "thebibliography": 1,
    "multicols": 1,
    "wrapfigure": 2,
    "column": 1,
    "CJK": 2,
    "CJK*": 2,
}
