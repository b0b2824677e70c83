"""How long a chat request is at least, by any provider's tokenizer. Used by the remote engines."""

from __future__ import annotations

import re

from services.wire.openai import ChatCompletionRequest
from services.worker.engines.text import check_length, count_tokens

_IDEOGRAPHS = "\u3400-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af"
_RUN = re.compile(rf"([{_IDEOGRAPHS}]+)|[^\W_{_IDEOGRAPHS}]+")
_IDEOGRAPHS_A_TOKEN = 4


def checked_length(request: ChatCompletionRequest, limit: int) -> int:
    """Refuse what is too long for every tokenizer, and estimate the tokens of the rest.

    The provider counts exactly: what it may still take is left to it.

    Raises:
        ContextTooLong: it has more than `limit` tokens even if each of them is a word, or four ideographs.
    """
    check_length(request, limit, least_tokens)
    return sum(count_tokens(message.text) for message in request.messages)


def least_tokens(text: str) -> int:
    """A lower bound of the tokens of a text: no tokenizer joins words; some join a few ideographs."""
    runs = (len(run[1] or "") for run in _RUN.finditer(text))
    return sum(1 + (ideographs - 1) // _IDEOGRAPHS_A_TOKEN if ideographs else 1 for ideographs in runs)
