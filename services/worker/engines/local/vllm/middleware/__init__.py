"""The ASGI middleware inside vLLM's own server. vLLM imports it by the name `WorkerMiddleware`, in its interpreter.

Nothing here may need a package that vLLM's environment lacks.
"""

from services.worker.engines.local.vllm.middleware.app import WorkerMiddleware

__all__ = ["WorkerMiddleware"]
