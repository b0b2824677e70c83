"""Prints a sizing: the machine, a line for each model, the verdicts and their remedies. For `startup.py --plan`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.supervisor.messages import Fact, Sentence, sentence
from services.supervisor.sizing.demand import Device
from services.supervisor.sizing.findings import gib
from services.supervisor.sizing.fitting import Fit, Sizing
from services.supervisor.sizing.models.checkpoint import Origin

_COLUMNS = ("model", "place", "weights", "token", "room", "context", "at_once")
_NUMBERS = _COLUMNS[2:]
_NONE = "-"


class Report:
    """Writes to one console; readable without colours and in 80 columns."""

    def __init__(self, sizing: Sizing, language: str, console: Console) -> None:
        self._sizing = sizing
        self._language = language
        self._console = console

    def show(self, folder: Path) -> int:
        """Print everything; `folder` is where weights lie. Returns the exit code: 0 it fits, 1 it does not."""
        self._say(_said("title"))
        for line in machine_lines(self._sizing, folder):
            self._say(line)
        self._console.out()
        if self._sizing.fits:
            self._console.print(self._table())
            self._say(_said("legend"))
            self._say(_said("estimate"))
            self._console.out()
        for line, style in verdict_lines(self._sizing, self._language):
            self._say(line, style)
        return 1 if self._sizing.findings else 0

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for name in _COLUMNS:
            heading = _said(f"column.{name}").render(self._language)
            table.add_column(heading, justify="right" if name in _NUMBERS else "left", overflow="fold")
        for fit in self._sizing.fits:
            table.add_row(*(Text(cell) for cell in _cells(fit, self._language)))
        return table

    def _say(self, said: Sentence, style: str | None = None) -> None:
        self._console.out(said.render(self._language), style=style, highlight=False)


def machine_lines(sizing: Sizing, folder: Path) -> Iterator[Sentence]:
    """What the machine has."""
    hardware = sizing.hardware
    for gpu in hardware.gpus or ():
        facts: dict[str, Fact] = {"index": gpu.index, "name": gpu.name}
        yield _said("gpu", total=gib(gpu.memory_bytes), free=gib(gpu.free_bytes), **facts)
    if not hardware.gpus:
        yield _said("gpu_unread" if hardware.gpus is None else "gpu_none")
    ram = hardware.ram
    if ram is None:
        yield _said("ram_unread", cores=hardware.cores)
    else:
        yield _said("ram_there", total=gib(ram.total_bytes), free=gib(ram.free_bytes), cores=hardware.cores)
    if hardware.free_disk_bytes is not None:
        yield _said("disk", folder=str(folder.resolve()), free=gib(hardware.free_disk_bytes))


def verdict_lines(sizing: Sizing, language: str) -> Iterator[tuple[Sentence, str | None]]:
    """A verdict for each model with what is to be done, then one for all; each with its colour."""
    for fit in sizing.fits:
        yield _verdict(fit, sizing, language), "red" if fit.findings else None
        for note in _notes(fit, has_gpus=bool(sizing.hardware.gpus)):
            yield _indented(note, language), None
        for finding in fit.findings:
            yield _indented(finding.sentence, language), "red"
    for finding in sizing.shared:
        yield finding.sentence, "red"
    yield from ((line, None) for line in _asides(sizing))
    unknown = [fit.load.model for fit in sizing.fits if not fit.is_known]
    if sizing.findings:
        yield _said("not_all_fit"), "bold red"
    elif unknown:
        yield _said("some_unknown", names=", ".join(unknown)), "bold yellow"
    else:
        yield _said("all_fit"), "bold green"


def _said(key: str, **facts: Fact) -> Sentence:
    return sentence(f"sizing.{key}", **facts)


def _indented(said: Sentence, language: str) -> Sentence:
    return _said("indented", text=said.render(language))


def _verdict(fit: Fit, sizing: Sizing, language: str) -> Sentence:
    origin = _said(f"origin.{fit.load.checkpoint.origin}").render(language)
    facts: dict[str, Fact] = {"model": fit.load.model, "origin": origin}
    if fit.findings:
        return _said("does_not_fit", **facts)
    if not fit.is_known:
        return _said("not_known", **facts)
    if any(fit.load.model in finding.models for finding in sizing.shared):
        return _said("fits_alone", **facts)
    if fit.longest and fit.context and fit.longest > fit.context:
        return _said("fits_up_to", longest=fit.longest, **facts)
    return _said("fits", **facts)


def _notes(fit: Fit, *, has_gpus: bool) -> Iterator[Sentence]:
    """What is missing for a full answer."""
    load, checkpoint = fit.load, fit.load.checkpoint
    if load.demand.tuning is None:
        yield _said("options_unread")
    elif load.demand.device is Device.UNKNOWN:
        yield _said("device_unread")
    elif load.is_vllm and load.demand.device is Device.CPU and has_gpus:
        yield _said("cpu_build", python=load.tuning.python)
    if checkpoint.place is not None and checkpoint.place.found is None:
        yield _said("fetched" if checkpoint.place.is_fetched else "no_files", path=str(checkpoint.place.wanted))
    elif checkpoint.shape is None:
        yield _said("no_config")
    elif not checkpoint.shape.has_known_cache and not load.demand.is_embedder:
        yield _said("no_cache_formula")


def _asides(sizing: Sizing) -> Iterator[Sentence]:
    processes = sum(len(fit.load.demand.replicas) for fit in sizing.fits if fit.load.demand.device is Device.CPU)
    if processes > 1:
        cores = sizing.hardware.cores
        yield _said("threads", processes=processes, cores=cores, each=max(1, cores // processes))
    if sizing.idle:
        yield _said("idle", names=", ".join(sizing.idle))
    if not sizing.fits:
        yield _said("nothing")


def _cells(fit: Fit, language: str) -> tuple[str, ...]:
    load, token_bytes = fit.load, fit.load.token_bytes()
    return (
        load.model,
        _place(fit, language),
        _NONE if load.weights_bytes is None else f"{_about(fit)}{gib(load.weights_bytes)} GiB",
        _NONE if token_bytes is None else f"{token_bytes / 1024:.4g} KiB",
        _NONE if fit.room_bytes is None else f"{gib(fit.room_bytes)} GiB",
        _NONE if fit.context is None else str(fit.context),
        _NONE if fit.concurrency is None else str(fit.concurrency),
    )


def _about(fit: Fit) -> str:
    return "" if fit.load.checkpoint.origin is Origin.MEASURED else "~"


def _place(fit: Fit, language: str) -> str:
    """Such as "GPU 0,1", "GPU 0 | 1" for two replicas, "CPU x2"."""
    demand = fit.load.demand
    if demand.device is Device.GPU:
        return "GPU " + " | ".join(",".join(replica) for replica in demand.replicas)
    place = "CPU" if demand.device is Device.CPU else "?"
    count = len(demand.replicas)
    return place if count == 1 else _said("replicas", place=place, count=count).render(language)
