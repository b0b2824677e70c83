"""Tests of services/worker/engines/local/vllm/."""
