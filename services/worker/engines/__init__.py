"""The engine shelf: one file or folder per engine, one line here."""

from services.foundation.registry import Registry
from services.worker.engines.base import Engine

ENGINES: Registry[Engine] = Registry(
    "engine",
    __name__,
    {
        "echo": "echo:EchoEngine",
        "extractive": "extractive.engine:ExtractiveEngine",
        "openai_compatible": "remote.openai_compatible:OpenAICompatibleEngine",
        "sentence_transformers": "local.sentence_transformers:SentenceTransformersEngine",
    },
)
