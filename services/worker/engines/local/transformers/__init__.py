"""The transformers engine: a chat model in this process, on CPU, CUDA or MPS. torch is imported when it starts."""
