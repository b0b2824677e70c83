"""What is known of a served model before it is loaded: its files, its shape, its weights, and how they are known."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from services.foundation.settings.models import Models
from services.supervisor.sizing.models.architecture import Architecture, read_architecture
from services.supervisor.sizing.models.places import Place, place_of, weights_folder
from services.supervisor.sizing.models.weights import Weights, count_weights, guess_weights, measure_weights


class Origin(enum.StrEnum):
    """How the size of the weights is known."""

    MEASURED = "measured"
    COUNTED = "counted"
    NAMED = "named"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model as it lies on the disk, or as its name promises.

    Attributes:
        shape: None: there is no config.json that is understood.
        faults: weight files that are missing or cut short.
    """

    place: Place | None
    shape: Architecture | None
    weights: Weights | None
    origin: Origin
    faults: tuple[str, ...] = ()

    @property
    def is_missing(self) -> bool:
        return self.place is not None and self.place.found is None


def read_checkpoint(models: Models, name: str) -> Checkpoint:
    """Look at the files of a served model; nothing is loaded."""
    place = place_of(models, name)
    if place is None or place.found is None:
        last = PurePosixPath(str(models.options_of(name).get("path") or name)).name
        weights = guess_weights(last) or guess_weights(name)
        return Checkpoint(place, None, weights, Origin.UNKNOWN if weights is None else Origin.NAMED)
    return _at(place, place.found)


def _at(place: Place, found: Path) -> Checkpoint:
    folder = weights_folder(found)
    shape = read_architecture(folder)
    measured = measure_weights(folder, is_tied=shape is not None and shape.is_tied)
    if measured is not None and not measured.faults:
        return Checkpoint(place, shape, measured, Origin.MEASURED)
    faults = () if measured is None else measured.faults
    if shape is None:
        return Checkpoint(place, None, None, Origin.UNKNOWN, faults)
    return Checkpoint(place, shape, count_weights(shape), Origin.COUNTED, faults)
