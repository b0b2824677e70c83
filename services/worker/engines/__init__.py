"""The engine shelf: one file or folder per engine, one line here."""

from services.foundation.registry import Registry
from services.worker.engines.base import Engine

ENGINES: Registry[Engine] = Registry(
    "engine",
    __name__,
    {
        "cross_encoder": "local.cross_encoder:CrossEncoderEngine",
        "echo": "echo:EchoEngine",
        "extractive": "extractive.engine:ExtractiveEngine",
        "openai_compatible": "remote.openai_compatible:OpenAICompatibleEngine",
        "sentence_transformers": "local.sentence_transformers.engine:SentenceTransformersEngine",
        "tiangong": "remote.tiangong:TiangongEngine",
        "transformers": "local.transformers.engine:TransformersEngine",
        "vllm": "local.vllm.engine:VllmEngine",
    },
)
