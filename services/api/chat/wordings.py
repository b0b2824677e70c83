"""In which other words a question is searched too: beside what it leans on, or as a model puts it. For Grounded."""

from __future__ import annotations

import re

from services.api.chat.fencing import untagged
from services.api.chat.language import language_of
from services.api.chat.leaning import leaned_on
from services.api.chat.speaking import Speaker
from services.api.domain.answering import ModelRequest, Question, Sampling
from services.api.domain.conversation import Message
from services.api.domain.retrieval import Wording

_WEIGHT = 0.5
"""Of each list beside the question's own: a paraphrase may miss what was meant."""
_TOKENS_EACH = 60
_CHARS = 300
_LIST_MARK = re.compile(r"^\s*(?:[-*•·]|\(?\d{1,2}[.)、．]|（\d{1,2}）)\s*")


async def wordings(speaker: Speaker, question: Question, query: str) -> tuple[Wording, ...]:
    """The other wordings of a question; none where its words alone are to be searched.

    A model that rewrites has made the question whole already and is asked for paraphrases, as many as the settings say.
    For any other the question is searched beside the earlier ones it may lean on.
    """
    if not speaker.rewrites(question.model):
        return leaned_on(question, query)
    count = speaker.answering.wordings
    if not count:
        return ()
    variables = {"question": query, "count": str(count)}
    prompt = speaker.prompts.render("condense", "wordings", variables, language_of(question, query))
    sampling = Sampling(0.0, _TOKENS_EACH * count)
    heard = await speaker.listen(ModelRequest(question.model, [Message("user", prompt)], sampling))
    lines = [untagged(_LIST_MARK.sub("", line))[:_CHARS] for line in heard.text.splitlines()]
    found = dict.fromkeys(line for line in lines if line and line != query)
    return tuple(Wording(text, _WEIGHT) for text in list(found)[:count])
