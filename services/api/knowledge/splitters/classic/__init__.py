"""The splitters that Langchain-Chatchat 0.2.10 had, under their names there. Each says how it differs."""
