"""The OCR engine: RapidOCR with the models in its wheel, made once per process. `reading.py` beside calls it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from rapidocr import RapidOCR

Pixels = NDArray[np.uint8]
"""Rows of pixels, each blue, green, red."""

_THREAD_LIMIT = 8
_UNBOUNDED = 1_000_000
_TALL = 1.5
_LINES_AT_A_TIME = 4

# One picture at a time: two would share the same cores and need twice the memory.
_TURN = threading.Lock()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, or a part of one, as it was recognised. The origin is the picture's top left corner."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float

    @property
    def height(self) -> float:
        """Of the letters, roughly."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """Half-way down."""
        return (self.top + self.bottom) / 2

    @property
    def is_tall(self) -> bool:
        """Whether it runs downwards: the picture lies on its side, or the writing is vertical."""
        return self.height > _TALL * (self.right - self.left)


def engine_name() -> str:
    """What recognises, with its version; another one's results are not comparable."""
    return f"rapidocr {version('rapidocr')}"


def recognise(pixels: Pixels, heard: Callable[[], None] = lambda: None) -> list[Line]:
    """The lines of an upright picture of reasonable size, in no order.

    Args:
        pixels: the picture.
        heard: called when the engine is made, when the lines are found, and after each few that are read.
    """
    with _TURN:
        engine = _engine()
        heard()
        boxes = getattr(engine(pixels, use_det=True, use_rec=False), "boxes", None)
        heard()
        if boxes is None or len(boxes) == 0:
            return []
        read = list(_read(engine.crop_text_regions(pixels, boxes), heard))
    kept = [number for number, (text, _) in enumerate(read) if text.strip()]
    if not kept:
        return []
    found = np.asarray(boxes, dtype=float)[kept]
    return list(_levelled(found, *zip(*(read[number] for number in kept), strict=True)))


def _read(lines: Sequence[Pixels], heard: Callable[[], None]) -> Iterator[tuple[str, float]]:
    """The text of each cut-out line, and how sure it is."""
    for start in range(0, len(lines), _LINES_AT_A_TIME):
        found = _engine().recognize_txt(list(lines[start : start + _LINES_AT_A_TIME]))
        yield from zip(found.txts or (), found.scores, strict=True)
        heard()


def _levelled(boxes: NDArray[np.float64], texts: tuple[str, ...], confidences: tuple[float, ...]) -> Iterator[Line]:
    """Upright boxes; a slope that most lines share (a photo taken askew) is taken out, so that rows are level."""
    runs = boxes[:, 1] - boxes[:, 0]
    wide = runs[:, 0] > 4 * np.abs(runs[:, 1])
    slope = float(np.median(runs[wide, 1] / runs[wide, 0])) if wide.any() else 0.0
    for box, text, confidence in zip(boxes, texts, confidences, strict=True):
        across, down = box[:, 0], box[:, 1] - slope * box[:, 0]
        yield Line(
            text,
            round(float(across.min()), 1),
            round(float(down.min()), 1),
            round(float(across.max()), 1),
            round(float(down.max()), 1),
            round(float(confidence), 3),
        )


@cache
def _engine() -> RapidOCR:
    import rapidocr  # takes a second
    from omegaconf import flag_override

    models = Path(rapidocr.__file__).parent / "models"
    engine = rapidocr.RapidOCR(
        params={
            # The classifier of upside-down lines turns long lines wrongly; `reading.py` turns whole pictures.
            "Global.use_cls": False,
            # A batch pads each line to its longest one: slower on a CPU, and it takes more memory.
            "Rec.rec_batch_num": 1,
            # Poor lines are wanted: they tell that a picture is upside down.
            "Global.text_score": 0.0,
            "Global.max_side_len": _UNBOUNDED,
            "Global.log_level": "error",
        }
    )
    # Sessions of our own: it has no setting for how threads wait, and may download what it is to find itself.
    with flag_override(engine.cfg, "allow_objects", values=True):
        engine.cfg.Det.session = _session(models / "PP-OCRv6_det_small.onnx")
        engine.cfg.Rec.session = _session(models / "PP-OCRv6_rec_small.onnx")
    return engine


def _session(model: Path) -> InferenceSession:
    """The model on all cores. Its threads sleep while they wait: by default they spin, on cores other readers need.

    Two readers of scans at once took 1.3 times as long with spinning; one alone takes no longer without.
    """
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    options.intra_op_num_threads = min(os.cpu_count() or 1, _THREAD_LIMIT)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return InferenceSession(str(model), sess_options=options, providers=["CPUExecutionProvider"])
