"""The measures of one question, each with its source; pure functions in [0, 1], higher is better unless they say so."""
