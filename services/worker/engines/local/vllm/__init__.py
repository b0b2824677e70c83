"""vLLM: its own OpenAI server as a child process in an environment of its own, behind one ASGI middleware of ours."""
