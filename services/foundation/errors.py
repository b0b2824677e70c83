"""The failures of the product, named once. Every process raises them; `http.py` and `sse.py` render them.

ChatchatError               internal                    INTERNAL
├── InvalidName             name.invalid                INVALID
├── InvalidRequest          request.invalid             INVALID
├── RequestTooLarge         request.too_large           TOO_LARGE
├── RequestAbandoned        request.abandoned           INVALID
├── InvalidSetting          setting.invalid             INVALID
├── Unauthenticated         access.unauthenticated      UNAUTHENTICATED
├── Forbidden               access.forbidden            FORBIDDEN
├── KnowledgeBaseNotFound   knowledge_base.not_found    NOT_FOUND
├── KnowledgeBaseExists     knowledge_base.exists       CONFLICT
├── FileNotInBase           file.not_found              NOT_FOUND
├── FileExists              file.exists                 CONFLICT
├── UnsupportedFile         file.unsupported            UNSUPPORTED
├── UnreadableFile          file.unreadable             INVALID
│   ├── EmptyFile           file.empty                  INVALID
│   ├── EncryptedFile       file.encrypted              INVALID
│   ├── ReadingStalled      file.stalled                INVALID
│   ├── ReadingTooDemanding file.too_demanding          INVALID
│   └── ReadingCrashed      file.crashed_reader         INVALID
├── IngestAbandoned         file.abandoned              INVALID
├── IndexerAbsent           file.no_indexer             UNAVAILABLE
├── FileTooLarge            file.too_large              TOO_LARGE
├── TemporaryFilesNotFound  temporary.not_found         NOT_FOUND
├── TemporaryFilesUnread    temporary.unread             CONFLICT
├── TemporaryFilesFull      temporary.full              TOO_LARGE
├── TooManyTemporaryFiles   temporary.too_many          OVERLOADED
├── FileNotSummarised       summary.impossible          INVALID
├── ImportRefused           import.refused              INVALID
├── EvaluationRefused       evaluation.refused          INVALID
├── ConversationNotFound    conversation.not_found      NOT_FOUND
├── PromptNotFound          prompt.not_found            NOT_FOUND
├── InvalidPrompt           prompt.invalid              INVALID
├── UnknownVariant          variant.unknown             INVALID
├── MissingPackage          variant.missing_package     UNAVAILABLE
├── EmbedderChanged         embedder.changed            CONFLICT
├── QueryUnreadable         query.unreadable            INVALID
├── UnknownModel            model.unknown               NOT_FOUND
├── NoWorker                model.no_worker             UNAVAILABLE
├── WorkerLost              model.worker_lost           UNAVAILABLE
├── WorkerBusy              model.busy                  OVERLOADED
├── CallerBusy              caller.busy                 OVERLOADED
├── OutOfMemory             model.out_of_memory         UNAVAILABLE
├── ModelRunning            model.running               CONFLICT
├── NoSupervisor            model.no_supervisor         CONFLICT
├── WritingNeeded           model.does_not_write        INVALID
├── NothingRated            model.nothing_rated         UPSTREAM
├── ContextTooLong          model.context_too_long      INVALID
├── EngineFailed            model.engine_failed         INTERNAL
├── ProviderFailed          provider.failed             UPSTREAM
├── ServiceUnreachable      service.unreachable         UNAVAILABLE
├── StoreFailed             store.failed                UNAVAILABLE
└── TookTooLong             upstream.timeout            TIMEOUT

The English sentence stands on the class; `messages.zh_CN.yaml` beside this file holds the Chinese one for each code.
A sentence names what failed, where, and what to do.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import ClassVar

Fact = str | int | float | bool | None


class Kind(enum.StrEnum):
    """The transport-free class of a failure. `http.py` holds the one table from kind to status."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    UPSTREAM = "upstream"
    TIMEOUT = "timeout"
    INTERNAL = "internal"


class _Facts(dict[str, Fact]):
    def __missing__(self, key: str) -> str:
        return f"<{key}>"


class ChatchatError(Exception):
    """Root of every failure we raise on purpose.

    Attributes:
        code: stable, dotted name of the failure; part of the public contract.
        kind: transport-free class of the failure.
        sentence: English template; its fields are the facts.
        facts: what this failure is about; never holds a secret, a path outside the data folder, or a trace.
    """

    code: ClassVar[str] = "internal"
    kind: ClassVar[Kind] = Kind.INTERNAL
    sentence: ClassVar[str] = "Something went wrong inside the service: {reason}. See the service's log."

    def __init__(self, /, **facts: Fact) -> None:
        self.facts: Mapping[str, Fact] = facts
        super().__init__(self.render(self.sentence))

    def render(self, template: str) -> str:
        """Fill `template` with the facts; a missing fact shows as its name in angle brackets."""
        return template.format_map(_Facts(self.facts))


class InvalidName(ChatchatError):
    code = "name.invalid"
    kind = Kind.INVALID
    sentence = "{what} {name!r} is not allowed: {reason}. Choose another name."


class InvalidRequest(ChatchatError):
    code = "request.invalid"
    kind = Kind.INVALID
    sentence = "The request field {field!r} is not valid: {reason}."


class RequestTooLarge(ChatchatError):
    code = "request.too_large"
    kind = Kind.TOO_LARGE
    sentence = "The request is larger than the limit of {limit_bytes} bytes. Send less at a time."


class RequestAbandoned(ChatchatError):
    code = "request.abandoned"
    kind = Kind.INVALID
    sentence = "The client left before the answer was ready."


class InvalidSetting(ChatchatError):
    code = "setting.invalid"
    kind = Kind.INVALID
    sentence = "The setting {setting!r} is not valid: {reason}."


class Unauthenticated(ChatchatError):
    code = "access.unauthenticated"
    kind = Kind.UNAUTHENTICATED
    sentence = "An access key is needed: send it as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'."


class Forbidden(ChatchatError):
    code = "access.forbidden"
    kind = Kind.FORBIDDEN
    sentence = "{what} is not allowed: {reason}."


class KnowledgeBaseNotFound(ChatchatError):
    code = "knowledge_base.not_found"
    kind = Kind.NOT_FOUND
    sentence = "There is no knowledge base named {name!r}. Check the spelling or create it first."


class KnowledgeBaseExists(ChatchatError):
    code = "knowledge_base.exists"
    kind = Kind.CONFLICT
    sentence = "A knowledge base named {name!r} exists already. Choose another name."


class FileNotInBase(ChatchatError):
    code = "file.not_found"
    kind = Kind.NOT_FOUND
    sentence = "The knowledge base {knowledge_base!r} holds no file named {file!r}."


class FileExists(ChatchatError):
    code = "file.exists"
    kind = Kind.CONFLICT
    sentence = "The file {file!r} exists already. Upload it with 'override' to replace it."


class UnsupportedFile(ChatchatError):
    code = "file.unsupported"
    kind = Kind.UNSUPPORTED
    sentence = "The file {file!r} is of a type that is not supported. Supported: {supported}."


class UnreadableFile(ChatchatError):
    code = "file.unreadable"
    kind = Kind.INVALID
    sentence = (
        "The file {file!r} could not be read: {reason}. Check that it opens in its own program and upload it again."
    )


class EmptyFile(UnreadableFile):
    code = "file.empty"
    sentence = "The file {file!r} holds no text: {reason}."


class EncryptedFile(UnreadableFile):
    code = "file.encrypted"
    sentence = "The file {file!r} is protected by a password. Remove the protection and upload it again."


class ReadingStalled(UnreadableFile):
    code = "file.stalled"
    sentence = (
        "Reading the file {file!r} was given up: it made no progress for {seconds} seconds. It may be damaged: open it "
        "in its own program, save it anew and upload it again."
    )


class ReadingTooDemanding(UnreadableFile):
    code = "file.too_demanding"
    sentence = (
        "Reading the file {file!r} was given up: it needs more than {limit_mb} MB of memory. Split it, or raise "
        "knowledge.parsing.memory_bytes."
    )


class ReadingCrashed(UnreadableFile):
    code = "file.crashed_reader"
    sentence = (
        "Reading the file {file!r} ended the process that read it ({reason}). It may be damaged: open it in its own "
        "program, save it anew and upload it again."
    )


class IndexerAbsent(ChatchatError):
    code = "file.no_indexer"
    kind = Kind.UNAVAILABLE
    sentence = (
        "The file {file!r} is stored and waits to be indexed: no process that indexes files is running. It will be "
        "indexed once one is; startup.py starts it."
    )


class IngestAbandoned(ChatchatError):
    code = "file.abandoned"
    kind = Kind.INVALID
    sentence = (
        "Indexing the file {file!r} was given up: the service ended {attempts} times while it was at it. See its log, "
        "and index the file again."
    )


class FileTooLarge(ChatchatError):
    code = "file.too_large"
    kind = Kind.TOO_LARGE
    sentence = "The file {file!r} is larger than the limit of {limit_bytes} bytes. Split it or raise the limit."


class TemporaryFilesNotFound(ChatchatError):
    code = "temporary.not_found"
    kind = Kind.NOT_FOUND
    sentence = (
        "There are no uploaded files under the id {id!r}: it is wrong, or they were deleted because nobody asked about "
        "them for long. Upload them again."
    )


class TemporaryFilesUnread(ChatchatError):
    code = "temporary.unread"
    kind = Kind.CONFLICT
    sentence = (
        "Nothing of the uploaded files can be searched: of {files} files {pending} are still being read. Ask again "
        "when they are, or upload files that can be read."
    )


class TemporaryFilesFull(ChatchatError):
    code = "temporary.full"
    kind = Kind.TOO_LARGE
    sentence = (
        "The file {file!r} was not kept: the files of one file chat may be at most {files} and hold {limit_mb} MB in "
        "all. Upload it without an id to begin another, or add it to a knowledge base."
    )


class TooManyTemporaryFiles(ChatchatError):
    code = "temporary.too_many"
    kind = Kind.OVERLOADED
    sentence = (
        "{sets} file chats are kept already, and no more are allowed at a time. Try again later: those that nobody "
        "uses are deleted after {minutes} minutes."
    )


class FileNotSummarised(ChatchatError):
    code = "summary.impossible"
    kind = Kind.INVALID
    sentence = "The file {file!r} cannot be summarised: {reason}."


class ImportRefused(ChatchatError):
    code = "import.refused"
    kind = Kind.INVALID
    sentence = "{source!r} cannot be imported: {reason}."


class EvaluationRefused(ChatchatError):
    code = "evaluation.refused"
    kind = Kind.INVALID
    sentence = "{source!r} cannot be used for an evaluation: {reason}. Correct it and run again."


class ConversationNotFound(ChatchatError):
    code = "conversation.not_found"
    kind = Kind.NOT_FOUND
    sentence = "There is no conversation {id!r}."


class PromptNotFound(ChatchatError):
    code = "prompt.not_found"
    kind = Kind.NOT_FOUND
    sentence = "There is no prompt named {name!r} for {use!r}. Known: {known}."


class InvalidPrompt(ChatchatError):
    code = "prompt.invalid"
    kind = Kind.INVALID
    sentence = "The prompt {name!r} for {use!r} cannot be rendered: {reason}."


class UnknownVariant(ChatchatError):
    code = "variant.unknown"
    kind = Kind.INVALID
    sentence = "There is no {shelf} named {name!r}. Known: {known}."


class MissingPackage(ChatchatError):
    code = "variant.missing_package"
    kind = Kind.UNAVAILABLE
    sentence = "The {shelf} {name!r} needs the package {package!r}, which is not installed. Run: pip install {package}."


class EmbedderChanged(ChatchatError):
    code = "embedder.changed"
    kind = Kind.CONFLICT
    sentence = (
        "The knowledge base {name!r} was indexed with {expected} dimensions, but the embedding model {model!r} now "
        "gives {actual}. Rebuild the knowledge base or configure its former embedding model."
    )


class QueryUnreadable(ChatchatError):
    code = "query.unreadable"
    kind = Kind.INVALID
    sentence = (
        "The embedding model {model!r} cannot read this question, so it cannot be searched by meaning alone. Search in "
        "the mode 'hybrid' or 'exact', or rebuild the knowledge base with a model that reads its language."
    )


class UnknownModel(ChatchatError):
    code = "model.unknown"
    kind = Kind.NOT_FOUND
    sentence = "The model {model!r} does not exist here. Known models: {known}."


class NoWorker(ChatchatError):
    code = "model.no_worker"
    kind = Kind.UNAVAILABLE
    sentence = "No worker serves the model {model!r} at the moment. It may be starting; try again shortly."


class WorkerLost(ChatchatError):
    code = "model.worker_lost"
    kind = Kind.UNAVAILABLE
    sentence = "The worker of the model {model!r} was lost while it answered: {reason}. Ask again."


class WorkerBusy(ChatchatError):
    code = "model.busy"
    kind = Kind.OVERLOADED
    sentence = "The model {model!r} is busy: {waiting} requests are waiting already. Try again shortly."


class CallerBusy(ChatchatError):
    code = "caller.busy"
    kind = Kind.OVERLOADED
    sentence = "You have {running} requests running, and {limit} are allowed at a time. Wait for one to end."


class OutOfMemory(ChatchatError):
    code = "model.out_of_memory"
    kind = Kind.UNAVAILABLE
    sentence = (
        "The model {model!r} ran out of memory: {reason}. Send a shorter request, or let it take fewer at a time or a "
        "shorter context (python startup.py --plan says what fits)."
    )


class ModelRunning(ChatchatError):
    code = "model.running"
    kind = Kind.CONFLICT
    sentence = "The model {model!r} is running already."


class NoSupervisor(ChatchatError):
    code = "model.no_supervisor"
    kind = Kind.CONFLICT
    sentence = (
        "The model {model!r} cannot be started or stopped from here: no supervisor of ours started its worker. Use "
        "what started it (docker compose, systemd, a terminal)."
    )


class ContextTooLong(ChatchatError):
    code = "model.context_too_long"
    kind = Kind.INVALID
    sentence = "The request has {tokens} tokens, but the model {model!r} takes at most {limit}. Shorten it."


class WritingNeeded(ChatchatError):
    code = "model.does_not_write"
    kind = Kind.INVALID
    sentence = (
        "The model {model!r} only quotes and writes nothing of its own, which {what} needs. Choose {instead}, or "
        "another model."
    )


class NothingRated(ChatchatError):
    code = "model.nothing_rated"
    kind = Kind.UPSTREAM
    sentence = (
        "The model {model!r} gave none of its {groups} answers in the form that 'map_rerank' asks for. Choose another "
        "strategy, such as 'map_reduce', or another model."
    )


class EngineFailed(ChatchatError):
    code = "model.engine_failed"
    kind = Kind.INTERNAL
    sentence = "The engine of the model {model!r} failed: {reason}. See the worker's log."


class ProviderFailed(ChatchatError):
    code = "provider.failed"
    kind = Kind.UPSTREAM
    sentence = "The provider of the model {model!r} answered with an error: {reason}."


class ServiceUnreachable(ChatchatError):
    code = "service.unreachable"
    kind = Kind.UNAVAILABLE
    sentence = "The {service} at {url} cannot be reached: {reason}. Check that it is running."


class StoreFailed(ChatchatError):
    code = "store.failed"
    kind = Kind.UNAVAILABLE
    sentence = "The {store} failed: {reason}. See the log."


class TookTooLong(ChatchatError):
    code = "upstream.timeout"
    kind = Kind.TIMEOUT
    sentence = "The {service} did not answer within {timeout_seconds} seconds. Try again."


def every_error() -> Iterator[type[ChatchatError]]:
    """Every failure class known to this process, the root first."""
    queue: list[type[ChatchatError]] = [ChatchatError]
    while queue:
        yield (found := queue.pop(0))
        queue.extend(found.__subclasses__())


def error_from(code: str, facts: Mapping[str, Fact]) -> ChatchatError:
    """Rebuild a failure from its code and facts, as a client reads them off the wire.

    An unknown code gives a plain `ChatchatError` whose reason names the code.
    """
    found = next((candidate for candidate in every_error() if candidate.code == code), None)
    return ChatchatError(reason=f"unknown failure code {code!r}") if found is None else found(**facts)
