"""Embedding models in sentence-transformers' layout, run in this process: on torch, or on OpenVINO."""
