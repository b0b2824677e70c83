"""Milvus: Lite by default, in this process or shared by several; a server or cluster by URI."""
