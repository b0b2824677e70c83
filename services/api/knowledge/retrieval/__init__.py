"""Question → hits: the one path that the search test, the chat and the evaluation share."""
