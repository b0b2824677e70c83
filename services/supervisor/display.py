"""What a person at the terminal sees: the banner, the progress of starting, and what happens afterwards."""

from __future__ import annotations

import platform
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.foundation.settings.tree import Settings
from services.supervisor.flags import Flags
from services.supervisor.keeper import CannotStart, State, Status
from services.supervisor.messages import Sentence, sentence
from services.supervisor.plan import ProcessSpec

_STYLES = {
    State.STARTING: "cyan",
    State.READY: "green",
    State.DEGRADED: "yellow",
    State.RESTARTING: "yellow",
    State.FAILED: "red",
    State.STOPPED: "dim",
}
_PLACES = ("path", "base_url")  # the options a banner may show; any other may be a secret


@dataclass(frozen=True, slots=True)
class Subject:
    """What is being started.

    Attributes:
        root: folder of the project; its pyproject.toml knows the version.
        plan: empty when nothing is started.
    """

    root: Path
    settings: Settings
    flags: Flags
    plan: Sequence[ProcessSpec] = ()


class Display:
    """Writes to one console: a live table on a terminal, one line per change elsewhere."""

    def __init__(self, subject: Subject, console: Console) -> None:
        self._subject = subject
        self._console = console
        self._language = subject.settings.server.language
        self._statuses: dict[str, Status] = {}
        self._began = time.monotonic()
        self._live: Live | None = None

    def refuse(self, problems: Sequence[Sentence]) -> None:
        """Say why nothing is started."""
        for problem in problems:
            self._say("problem.refused", problem=problem.render(self._language))

    def banner(self, *, with_services: bool) -> None:
        """Say what is configured and, once that is true, where it is served."""
        self._rule()
        for line in (*banner_lines(self._subject), *(service_lines(self._subject) if with_services else ())):
            self._write(line.render(self._language))
        self._rule()

    def open(self) -> None:
        """Begin to show progress; `close` ends it."""
        self._say("hint.starting", folder=str(self._subject.settings.server.logging.folder.resolve()))
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self._console, transient=True)
            self._live.start()

    def close(self) -> None:
        """Stop the live table, leaving the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def changed(self, status: Status) -> None:
        self._statuses[status.spec.name] = status
        if self._live is not None:
            return
        spent_seconds = status.since - self._began
        reason = "" if status.reason is None else f" ({status.reason.render(self._language)})"
        self._write(f"[{spent_seconds:6.1f} s] {status.spec.name}: {self._state(status)}{reason}")

    def complete(self) -> None:
        if self._live is not None:
            self.close()
            self._console.print(self._table())
        self.banner(with_services=True)
        waiting = [status.spec.name for status in self._statuses.values() if not _serves(status)]
        if waiting:
            self._say("hint.degraded", names=", ".join(waiting))
        self._write(closing_line(self._subject).render(self._language))

    def stopping(self) -> None:
        self.close()
        self._say("hint.stopping")

    def failed(self, failure: CannotStart) -> None:
        """Say which process could not be started, why, and what it wrote last."""
        self.close()
        spec, folder = failure.spec, self._subject.settings.server.logging.folder
        if failure.tail:
            self._say("hint.tail", name=spec.name, lines=len(failure.tail))
        for line in failure.tail:
            self._write(f"  | {line}")
        self._say(
            "hint.cannot_start",
            name=spec.name,
            description=spec.description,
            reason=failure.reason.render(self._language),
            log=str((folder / f"{spec.name}.log").resolve()),
        )

    def _table(self) -> Table:
        columns = ("name", "state", "seconds", "description")
        table = Table(*(sentence(f"column.{name}").render(self._language) for name in columns), box=None)
        for status in self._statuses.values():
            end = status.since if status.state in {State.READY, State.STOPPED} else time.monotonic()
            shown = status.spec.description if status.reason is None else status.reason.render(self._language)
            state = Text(self._state(status), _STYLES[status.state])
            table.add_row(Text(status.spec.name), state, f"{end - self._began:.1f}", Text(shown))
        return table

    def _state(self, status: Status) -> str:
        return sentence(f"state.{status.state.value}").render(self._language)

    def _rule(self) -> None:
        self._write(f"{'=' * 30}{sentence('banner.title').render(self._language)}{'=' * 30}")

    def _say(self, key: str, **facts: str | int | float) -> None:
        self._write(sentence(key, **facts).render(self._language))

    def _write(self, line: str) -> None:
        self._console.out(line, highlight=False)


def banner_lines(subject: Subject) -> Iterator[Sentence]:
    """The configuration, one sentence a line; never an option that could hold a secret."""
    models, knowledge = subject.settings.models, subject.settings.knowledge
    project = tomllib.loads((subject.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    yield sentence("banner.platform", platform=platform.platform())
    yield sentence("banner.python", python=sys.version)
    yield sentence("banner.product", version=project["version"])
    yield sentence("banner.fastchat", version=version("fschat"))
    yield sentence("banner.splitter", splitter=knowledge.splitter.name)
    named = subject.flags.model_names or tuple(models.served)
    yield sentence("banner.chat_models")
    yield from (_model(subject.settings, name) for name in named if models.served[name].task == "chat")
    if models.default_embedding in models.served:
        yield sentence("banner.embedding")
        yield _model(subject.settings, models.default_embedding)


def service_lines(subject: Subject) -> Iterator[Sentence]:
    """The addresses of what the plan serves to people and programs."""
    urls = service_urls(subject)
    if urls:
        yield sentence("banner.services")
        yield from (sentence(f"banner.{name}", url=url) for name, url in urls.items())


def service_urls(subject: Subject) -> Mapping[str, str]:
    """Process → address, of what people and programs call."""
    server = subject.settings.server
    urls = {"gateway": f"{server.gateway.url}/v1", "api": server.api.url, "webui": server.webui.url}
    planned = {spec.name for spec in subject.plan}
    return {name: url for name, url in urls.items() if name in planned}


def closing_line(subject: Subject) -> Sentence:
    """Where to go now, and how to stop."""
    urls = service_urls(subject)
    if "webui" in urls:
        return sentence("hint.open", url=urls["webui"])
    if urls:
        return sentence("hint.running", url=", ".join(urls.values()))
    return sentence("hint.running_no_url")


def _model(settings: Settings, name: str) -> Sentence:
    served = settings.models.served[name]
    places = [_without_secrets(str(served.options[key])) for key in _PLACES if key in served.options]
    return sentence("banner.model", model=name, engine=served.engine, place="".join(f", {place}" for place in places))


def _without_secrets(place: str) -> str:
    """A URL without its user, password and query; anything else as it is."""
    parts = urlsplit(place)
    if not parts.netloc:
        return place
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _serves(status: Status) -> bool:
    return status.state in {State.READY, State.STOPPED} or status.spec.required
