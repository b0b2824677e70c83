"""The public API of services/api: the 0.2.10 names and shapes, and our additions beside them.

Source: the 0.2.10 contract (its OpenAPI document and what was recorded on its wire). Fields marked "ours" are additions
that a 0.2.10 client neither sends nor minds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

SearchModeName = Literal["hybrid", "exact", "fuzzy", "semantic"]
_SEARCH_MODE = (
    "Ours: by words and meaning (hybrid), only passages that hold the text itself (exact), misspelt words put right "
    "(fuzzy), or by meaning alone (semantic)."
)


class Body(BaseModel):
    """A request body; unknown fields are ignored, as 0.2.10 did."""

    model_config = ConfigDict(protected_namespaces=())

    @field_validator("*")
    @classmethod
    def _is_text(cls, value: object) -> object:
        """Half of a surrogate pair is valid JSON and no text: it could be neither stored nor answered."""
        if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            raise ValueError("it holds characters that are no text")
        return value


class Envelope(BaseModel):
    """0.2.10's BaseResponse. `error` is ours and stands only on a failure."""

    code: int = Field(default=200, description="API status code")
    msg: str = Field(default="success", description="API status message")
    data: JsonValue = Field(default=None, description="API data")


class HistoryItem(Body):
    """One earlier message. `ai` and `human` are old names of the roles."""

    role: str
    content: str

    @property
    def known_role(self) -> Literal["system", "user", "assistant"]:
        """The role by its name of today."""
        if self.role in {"assistant", "ai"}:
            return "assistant"
        return "system" if self.role == "system" else "user"


class ChatRequest(Body):
    """Body of POST /chat/chat."""

    query: str = Field(description="用户输入", examples=["恼羞成怒"])
    conversation_id: str = Field(default="", description="对话框ID")
    history_len: int = Field(default=-1, description="从数据库中取历史消息的数量")
    history: int | list[HistoryItem] = Field(default=[], description="历史对话，设为一个整数可以从数据库中读取历史消息")
    stream: bool = Field(default=False, description="流式输出")
    model_name: str | None = Field(default=None, description="LLM 模型名称。")
    temperature: float = Field(default=0.7, ge=0, le=2, description="LLM 采样温度")
    max_tokens: int | None = Field(default=None, description="限制LLM生成Token数量，默认None代表模型最大值")
    prompt_name: str = Field(default="default", description="使用的prompt模板名称")
    preset: str | None = Field(default=None, description="Ours: a preset of the settings; what is said here wins.")
    memory: str | None = Field(default=None, description="Ours: window, token_budget or running_summary.")
    repetition_penalty: float | None = Field(default=None, gt=0, le=10, description="Ours: for models that take it.")


class GroundedChatRequest(Body):
    """What the requests for an answer from passages share."""

    query: str = Field(description="用户输入", examples=["你好"])
    top_k: int = Field(default=3, ge=1, le=100, description="匹配向量数")
    score_threshold: float = Field(default=1.0, ge=0, le=2, description="知识库匹配相关度阈值，SCORE越小，相关度越高")
    history: list[HistoryItem] = Field(default=[], description="历史对话")
    stream: bool = Field(default=False, description="流式输出")
    model_name: str | None = Field(default=None, description="LLM 模型名称。")
    temperature: float = Field(default=0.7, ge=0, le=1, description="LLM 采样温度")
    max_tokens: int | None = Field(default=None, description="限制LLM生成Token数量，默认None代表模型最大值")
    prompt_name: str = Field(default="default", description="使用的prompt模板名称")
    conversation_id: str = Field(default="", description="Ours: the conversation this turn is written to.")
    explain: bool = Field(default=False, description="Ours: with `why` and `support` in the last event.")
    when_nothing_found: Literal["strict", "cautious", "free"] | None = Field(
        default=None,
        description="Ours: without passages a sentence, a warning and the model, or the model; None: the setting.",
    )
    sufficient_relevance: float | None = Field(
        default=None, ge=0, le=1, description="Ours: strict and cautious: the least that is answered from."
    )
    search_mode: SearchModeName = Field(default="hybrid", description=_SEARCH_MODE)
    strategy: str | None = Field(
        default=None,
        description="Ours: auto, stuff, map_reduce, refine or map_rerank; None: the setting.",
        examples=["auto"],
    )
    preset: str | None = Field(default=None, description="Ours: a preset of the settings; what is said here wins.")
    memory: str | None = Field(default=None, description="Ours: window, token_budget or running_summary.")
    history_len: int | None = Field(default=None, ge=0, description="Ours: the most turns of `history` that are shown.")
    repetition_penalty: float | None = Field(default=None, gt=0, le=10, description="Ours: for models that take it.")


class KnowledgeBaseChatRequest(GroundedChatRequest):
    """Body of POST /chat/knowledge_base_chat."""

    knowledge_base_name: str = Field(description="知识库名称", examples=["samples"])
    more_knowledge_bases: list[str] = Field(default=[], max_length=20, description="Ours: further bases to read.")


class FileChatRequest(GroundedChatRequest):
    """Body of POST /chat/file_chat."""

    knowledge_id: str = Field(description="临时知识库ID")


class CreateKnowledgeBase(Body):
    """Body of POST /knowledge_base/create_knowledge_base."""

    knowledge_base_name: str = Field(examples=["samples"])
    vector_store_type: str | None = None
    embed_model: str | None = None
    kb_info: str = Field(default="", description="Ours: the description.")
    text_splitter: str | None = Field(default=None, description="Ours: splitter of its files; None: as configured.")
    chunk_size: int | None = Field(default=None, ge=20, le=4000, description="Ours: its longest passage.")
    chunk_overlap: int | None = Field(default=None, ge=0, description="Ours: what two neighbours share at most.")


class BaseAnswering(BaseModel):
    """Ours: how questions to a base are answered where they do not say it; None: as the settings say."""

    when_nothing_found: Literal["strict", "cautious", "free"] | None = None
    sufficient_relevance: float | None = Field(
        default=None, ge=0, le=1, description="found by python -m services.evaluation calibrate"
    )
    strategy: str | None = Field(default=None, description="auto, stuff, map_reduce, refine or map_rerank")
    preset: str | None = Field(default=None, description="a preset of the settings")


class UpdateAnswering(Body):
    """Ours: body of POST /knowledge_base/update_answering. `answering` takes the place of what the base said before."""

    knowledge_base_name: str = Field(examples=["samples"])
    answering: BaseAnswering = BaseAnswering()


class SearchRequest(Body):
    """Body of POST /knowledge_base/search_docs."""

    query: str = Field(default="", description="用户输入", examples=["你好"])
    knowledge_base_name: str = Field(description="知识库名称", examples=["samples"])
    top_k: int = Field(default=3, ge=1, le=100, description="匹配向量数")
    score_threshold: float = Field(default=1.0, ge=0, le=2, description="知识库匹配相关度阈值")
    file_name: str = Field(default="", description="文件名称，支持 sql 通配符", examples=["报告%.pdf"])
    metadata: dict[str, JsonValue] = Field(default={}, description="根据 metadata 进行过滤，仅支持一级键")
    more_knowledge_bases: list[str] = Field(default=[], max_length=20, description="Ours: further bases to search.")
    search_mode: SearchModeName = Field(default="hybrid", description=_SEARCH_MODE)


class PromptTemplateRequest(Body):
    """Body of POST /server/get_prompt_template, which answers with the bare text; it may be left out."""

    type: Literal["llm_chat", "knowledge_base_chat", "search_engine_chat", "agent_chat"] = Field(
        default="llm_chat",
        description="模板类型，可选值：llm_chat，knowledge_base_chat，search_engine_chat，agent_chat",
    )
    name: str = Field(default="default", description="模板名称")


class FoundDocument(BaseModel):
    """One element of search_docs' answer. `score` is a distance in [0, 2]: 2 − 2·similarity."""

    page_content: str
    metadata: dict[str, JsonValue]
    type: Literal["Document"] = "Document"
    id: str | None = None
    score: float = 3.0


class ArmBody(BaseModel):
    """Ours: one arm's part in a search. `left_out`: why it was not asked."""

    knowledge_base: str
    kind: Literal["keyword", "dense"]
    found: int
    weight: float
    left_out: str | None = None


class CandidateBody(BaseModel):
    """Ours: a passage that an arm found and what became of it; ranks count from 1."""

    chunk_id: str
    fused_rank: int
    fate: Literal["unknown", "unsimilar", "unranked", "cut", "used"]
    knowledge_base: str | None = None
    file_name: str | None = None
    place: dict[str, JsonValue] = {}
    keyword_rank: int | None = None
    coverage: float | None = None
    dense_rank: int | None = None
    cosine: float | None = None
    final_rank: int | None = None
    relevance: float | None = None


class WhyBody(BaseModel):
    """Ours: why a search found what it found. `milliseconds` by stage: keyword, embed, dense, fetch, rerank, widen.

    `wordings`: searched beside the query, for earlier questions it may lean on; arms and ranks are the query's own.
    """

    query: str
    arms: list[ArmBody]
    candidates: list[CandidateBody]
    milliseconds: dict[str, float]
    wordings: list[str] = []


class ExplainedSearch(BaseModel):
    """Ours: `data` of POST /knowledge_base/explain_search."""

    documents: list[FoundDocument]
    why: WhyBody


class CancelDocs(Body):
    """Ours: body of POST /knowledge_base/cancel_docs: give up indexing these files."""

    knowledge_base_name: str
    file_names: list[str] = Field(min_length=1)


class UpdateDocs(Body):
    """Body of POST /knowledge_base/update_docs: index these files again."""

    knowledge_base_name: str
    file_names: list[str] = Field(min_length=1)
    text_splitter: str | None = Field(default=None, description="Ours: by its name; None: as the base says.")
    chunk_size: int | None = Field(default=None, ge=20, le=4000)
    chunk_overlap: int | None = Field(default=None, ge=0)


class RecreateVectorStore(Body):
    """Body of POST /knowledge_base/recreate_vector_store: index all files of a base again."""

    knowledge_base_name: str = Field(examples=["samples"])
    allow_empty_kb: bool = Field(default=True, description="make the base if there is none of that name")
    vs_type: str | None = None
    embed_model: str | None = None
    chunk_size: int | None = Field(default=None, ge=20, le=4000)
    chunk_overlap: int | None = Field(default=None, ge=0)


class SummaryRequest(Body):
    """What the bodies of kb_summary_api share. 0.2.10 kept summaries in a vector store: it is taken and not minded."""

    knowledge_base_name: str = Field(examples=["samples"])
    vs_type: str | None = None
    embed_model: str | None = None
    file_description: str = Field(default="", max_length=2000)
    model_name: str | None = Field(default=None, description="LLM 模型名称。")
    temperature: float = Field(default=0.7, ge=0, le=1, description="LLM 采样温度")
    max_tokens: int | None = Field(default=None, description="限制LLM生成Token数量，默认None代表模型最大值")


class SummariseFile(SummaryRequest):
    """Body of POST …/summary_file_to_vector_store. There is no file in a base that does not exist."""

    file_name: str = Field(examples=["test.pdf"])
    allow_empty_kb: bool = True


class SummariseBase(SummaryRequest):
    """Body of POST …/recreate_summary_vector_store."""

    allow_empty_kb: bool = Field(default=True, description="answer nothing, and no failure, for an unknown base")


class SummariseChunks(SummaryRequest):
    """Body of POST …/summary_doc_ids_to_vector_store."""

    doc_ids: list[str] = Field(default=[], max_length=10_000, examples=[["uuid"]])


class DeleteDocs(Body):
    """Body of POST /knowledge_base/delete_docs."""

    knowledge_base_name: str
    file_names: list[str] = Field(min_length=1)
    delete_content: bool = False


class FailedFiles(BaseModel):
    """`data` of upload, update and delete: file name → sentence. Empty when all went well."""

    failed_files: dict[str, str]


class CitationBody(BaseModel):
    """Ours: one citation, beside 0.2.10's `docs` strings. `url` opens the file at the cited page.

    `knowledge_base` and `url` are empty in a file chat: its files can be asked about and not be downloaded.
    """

    number: int
    knowledge_base: str
    file_name: str
    page: int | None = None
    sheet: str | None = None
    row: int | None = None
    last_row: int | None = None
    heading: list[str] = []
    excerpt: str
    similarity: float
    chunk_id: str
    url: str


class AnsweringBody(BaseModel):
    """Ours: `answering` beside the citations: how their passages were read; absent where all were read at once.

    All but `strategy` are numbers of citations: read together; not read, or lost on the way; not rated readably.
    `cut_short`: steps that reached their limit of tokens before their end.
    """

    strategy: str
    groups: list[list[int]] = []
    left_out: list[int] = []
    unrated: list[int] = []
    cut_short: int = 0


class SupportBody(BaseModel):
    """Ours: a sentence of an answer and how far the passages it cites say the same; beside `why`.

    `start`: its place in the answer, in characters from 0. `share`: of its words, those that stand in the passages.
    """

    text: str
    start: int
    cited: list[int]
    share: float
    support: Literal["supported", "partly", "unsupported"]


class KnowledgeBaseDetails(BaseModel):
    """Ours: one element of GET /knowledge_base/details."""

    name: str
    description: str
    embedding_model: str
    vector_store: str
    text_splitter: str | None = None
    chunk_size: int | None = None
    chunk_overlap: int | None = None
    answering: BaseAnswering = BaseAnswering()
    file_count: int
    created_at: str


class SummaryBody(BaseModel):
    """Ours: a summary of a file. `kind`: its sentences were quoted from the file, or written by a model about it."""

    text: str
    model: str
    kind: Literal["quoted", "written"]
    created_at: str


class SummaryEvent(BaseModel):
    """An event of kb_summary_api about a file that was summarised. `summary` is ours; the counts are of a base."""

    code: Literal[200] = 200
    msg: str
    total: int = 1
    finished: int = 1
    doc: str
    summary: SummaryBody


class FileDetails(BaseModel):
    """Ours: one element of GET /knowledge_base/files. `state` is stored, pending, indexed, failed or cancelled.

    `stage` of a pending file: waiting, reading or indexing. `progress_*`: pages, rows or slides read; chunks indexed.
    `duplicate_of`: the first file of the base with the same bytes. `similar_to`: files that say nearly the same.
    """

    name: str
    size_bytes: int
    state: str
    version: int
    chunk_count: int
    modified_at: str
    failure: str | None = None
    failure_code: str | None = None
    warnings: list[str] = []
    stage: str | None = None
    progress_done: int | None = None
    progress_total: int | None = None
    duplicate_of: str | None = None
    similar_to: list[str] = []
    summary: SummaryBody | None = None


class ChunksSummary(BaseModel):
    """`data` of POST …/summary_doc_ids_to_vector_store: one document, as 0.2.10 has it."""

    summarize: list[FoundDocument]


class Preview(BaseModel):
    """Ours: answer of POST /knowledge_base/preview_docs: what a file would be cut into."""

    chunks: list[FoundDocument]
    warnings: list[str]
    loader: str
    splitter: str


class TemporaryUpload(BaseModel):
    """`data` of POST /knowledge_base/upload_temp_docs.

    `failed_files`: a list of objects with one file name and a sentence each, as 0.2.10 has it. `pending_files` is ours:
    files that are stored and not searchable yet.
    """

    id: str
    failed_files: list[dict[str, str]]
    pending_files: list[str] = []
    expires_at: str | None = None


class TemporaryFiles(BaseModel):
    """Ours: `data` of GET /knowledge_base/temp_docs: the files of a file chat, and until when they are kept."""

    id: str
    expires_at: str
    files: list[FileDetails]


class DeleteTemporaryFiles(Body):
    """Ours: body of POST /knowledge_base/delete_temp_docs."""

    knowledge_id: str


class ConversationBody(BaseModel):
    """Ours: a conversation in a list."""

    id: str
    title: str
    updated_at: str


class TurnBody(BaseModel):
    """Ours: one question with its answer and citations."""

    id: str
    chat_type: str
    question: str
    answer: str
    citations: list[CitationBody]
    created_at: str


class ConversationWithTurns(ConversationBody):
    """Ours: GET /conversations/{id}."""

    turns: list[TurnBody]


class OpenConversation(Body):
    """Ours: body of POST /conversations."""

    owner: str = Field(min_length=16, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    title: str = Field(default="", max_length=200)


class PresetBody(BaseModel):
    """Ours: a preset of the settings. None: it leaves that to the request and the settings."""

    name: str
    temperature: float | None = None
    history_turns: int | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None


class AnsweringOptions(BaseModel):
    """Ours: `data` of GET /server/answering: what a question may choose by name, and what holds where it does not."""

    presets: list[PresetBody]
    strategies: list[str]
    memories: list[str]
    policies: list[str]
    strategy: str
    memory: str
    when_nothing_found: str
    top_k: int


class ServedModelBody(BaseModel):
    """Ours: one element of GET /models: a configured model and whether a worker serves it now."""

    name: str
    task: str
    engine: str
    running: bool
    is_default: bool
