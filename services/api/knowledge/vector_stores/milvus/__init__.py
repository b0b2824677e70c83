"""Milvus: Lite in this process by default, a server or cluster by URI."""
