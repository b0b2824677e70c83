"""What providers' error codes and sentences mean, as far as they have a meaning of ours. Used by `failures`."""

from __future__ import annotations

import re
from dataclasses import dataclass

MINIMAX = "base_resp:"
"""Stands before a code of MiniMax's `base_resp`, whose numbers are also Zhipu's, with other meanings."""

NO_KEY = frozenset({"1000", "1001", "1002", "1003", "1004", f"{MINIMAX}1004", f"{MINIMAX}2049", "invalid_api_key"})
NO_CREDIT = frozenset(
    {"insufficient_quota", "exceeded_current_quota_error", "arrearage", "1113", f"{MINIMAX}1008", "accountoverdueerror"}
    | {"accessdenied.unpurchased", "insufficient_balance", "account_balance_insufficient"}
)
BUSY = frozenset(
    {"rate_limit_exceeded", "1302", "1303", "1305", f"{MINIMAX}1002", f"{MINIMAX}1041", "11202", "11203", "11210"}
)
NO_MODEL = frozenset(
    {"model_not_found", "1211", "invalidendpointormodel.notfound", "deploymentnotfound", "no_such_model"}
)
FILTERED = frozenset(
    {"content_filter", "data_inspection_failed", "datainspectionfailed", "1301", f"{MINIMAX}1026", f"{MINIMAX}1027"}
    | {"10013", "10014", "10019", "inputtextsensitivecontentdetected", "sensitivecontentdetected"}
)
TOO_LONG = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "1261", "10907", f"{MINIMAX}1039", "336103"}
    | {"outofcontexterror", "model_context_window_exceeded"}
)
NO_CREDIT_WORDS = re.compile(r"insufficient (?:account )?balance|in arrears|余额不足|欠费", re.IGNORECASE)
FILTERED_WORDS = re.compile(r"content management policy|inappropriate content", re.IGNORECASE)

_NUMBER = r"(\d[\d,]*)"
_LIMITS = [
    re.compile(pattern.replace("#", _NUMBER), re.IGNORECASE)
    for pattern in (
        r"maximum context length (?:is|of) #",  # OpenAI, Azure, DeepSeek, vLLM, Xinference
        r"configured limit of # tokens",  # OpenAI's newer models
        r"exceeded model token limit:? #",  # Moonshot
        r"range of input length should be \[\d+, ?#\]",  # DashScope
        r"maximum number of tokens allowed \(?#",  # Gemini
        r"available context size \(# tokens\)",  # llama.cpp
        r"context length of only # tokens",  # LM Studio
        r"model'?s context length \(# tokens\)",  # LM Studio, SGLang
        r"exceeds the maximum (?:allowed )?(?:input )?length (?:of )?#",  # Volcengine, SGLang
        r"exceeds the limit of # tokens",
    )
]
_COUNTS = [
    re.compile(pattern.replace("#", _NUMBER), re.IGNORECASE)
    for pattern in (
        r"(?:requested|resulted in|contains|contains at least) (?:about )?# (?:input )?tokens",
        r"\(requested: #\)",
        r"input token count (?:of )?\(?#\)?",
        r"request \(# tokens\)",
        r"input \(# tokens\)",
        r"input length:? # exceeds",
    )
]
_WORDS = re.compile(
    r"exceeds the available context size|context window exceeds limit|exceed max message tokens|"
    r"greater than the context length|exceeds? the context length|exceeds (?:the )?max(?:imum)? length|"
    r"input token length too long|prompt (?:tokens )?(?:is )?too long|"
    r"(?:输入|上下文|prompt).{0,12}(?:过长|超长)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Excess:
    """How long a request was and may be, in tokens; None where the provider does not say."""

    tokens: int | None
    limit: int | None


def excess_in(sentence: str) -> Excess | None:
    """What a sentence says about a request that is too long; None when it speaks of something else."""
    limit = _first(_LIMITS, sentence)
    if limit is None and not _WORDS.search(sentence):
        return None
    return Excess(_first(_COUNTS, sentence), limit)


def _first(patterns: list[re.Pattern[str]], sentence: str) -> int | None:
    found = next((match for match in (pattern.search(sentence) for pattern in patterns) if match), None)
    return int(found.group(1).replace(",", "")) if found else None
