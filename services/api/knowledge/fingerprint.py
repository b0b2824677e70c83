"""Fingerprints of texts: files that say nearly the same have nearly the same fingerprint.

SimHash: M. Charikar, Similarity Estimation Techniques from Rounding Algorithms, STOC 2002; for finding near-duplicates
with few differing bits: G. Manku, A. Jain, A. Das Sarma, Detecting Near-Duplicates for Web Crawling, WWW 2007.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from services.api.domain.knowledge import FileId, KnowledgeFile
from services.api.domain.names import FileName

BITS = 64
SHINGLE = 3
FEWEST_SHINGLES = 50
MOST_SHINGLES = 200_000
NEAR_BITS = 7
"""Two fingerprints are near when they differ in so few bits.

Manku's 3 are for eight billion pages. Measured on the manual and the documentation (zh, en): of copies with one word in
a hundred changed, 7 bits know 91 %, 3 know 26 %; texts that have nothing in common differ in 21 bits or more.
"""
MOST_NAMES = 10
"""So many similar files are named at most."""
_MOST_COMPARED = 1000
# A word, or one character of a script that is written without spaces between words.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


def fingerprint(texts: Iterable[str]) -> int | None:
    """The 64-bit SimHash of a file's texts; None where they are too short to be compared.

    Of the set of runs of three tokens (words, or single ideographs) within each text, NFKC-normalised, without case,
    punctuation and white space. Of a very long file only the beginning counts. Slow: for a thread.
    """
    shingles: set[bytes] = set()
    for text in texts:
        tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())
        runs = zip(*(tokens[at:] for at in range(SHINGLE)), strict=False)
        shingles.update(_hash(" ".join(run)) for run in runs)
        if len(shingles) > MOST_SHINGLES:
            break
    return _simhash(shingles) if len(shingles) >= FEWEST_SHINGLES else None


def _hash(shingle: str) -> bytes:
    return hashlib.blake2b(shingle.encode("utf-8", "replace"), digest_size=BITS // 8).digest()


def _simhash(hashes: set[bytes]) -> int:
    """Each bit is what most hashes have there. Counted by byte: how often each of its 256 values stands at a place."""
    together, bits = b"".join(hashes), []
    for place in range(BITS // 8):
        counts = Counter(together[place :: BITS // 8])
        for bit in range(7, -1, -1):
            ones = sum(count for value, count in counts.items() if value >> bit & 1)
            bits.append(ones * 2 > len(hashes))
    return int("".join("01"[bit] for bit in bits), 2)


@dataclass(frozen=True, slots=True)
class Likeness:
    """The files of the same base that a file is like.

    Attributes:
        duplicate_of: the first file with the very same bytes, unless that is the file itself.
        similar_to: files of other bytes that say nearly the same, by name, at most ten.
    """

    duplicate_of: FileName | None = None
    similar_to: tuple[FileName, ...] = ()


def likenesses(files: Sequence[KnowledgeFile]) -> Mapping[FileId, Likeness]:
    """What each file of a base is like. For a thread where there are thousands."""
    first: dict[str, KnowledgeFile] = {}
    for file in sorted(files, key=lambda one: (one.created_at, one.name)):
        first.setdefault(file.sha256, file)
    by_print: dict[int, list[KnowledgeFile]] = defaultdict(list)
    for file in files:
        if file.fingerprint is not None:
            by_print[file.fingerprint].append(file)
    near = _near(by_print)
    found = {}
    for file in files:
        original = first[file.sha256]
        around = [] if file.fingerprint is None else [file.fingerprint, *near.get(file.fingerprint, ())]
        others = [one.name for each in around for one in by_print[each] if one.sha256 != file.sha256]
        duplicate_of = None if original.id == file.id else original.name
        found[file.id] = Likeness(duplicate_of, tuple(sorted(others)[:MOST_NAMES]))
    return found


def _near(prints: Iterable[int]) -> Mapping[int, set[int]]:
    """For each fingerprint those near it. Two that differ in fewer bits than they have bytes have a byte in common."""
    sharing: dict[tuple[int, int], list[int]] = defaultdict(list)
    for each in prints:
        for place in range(BITS // 8):
            sharing[place, each >> 8 * place & 0xFF].append(each)
    near: dict[int, set[int]] = defaultdict(set)
    for some in sharing.values():
        for one, other in combinations(some[:_MOST_COMPARED], 2):
            if (one ^ other).bit_count() <= NEAR_BITS:
                near[one].add(other)
                near[other].add(one)
    return near
