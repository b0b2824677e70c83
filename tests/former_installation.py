"""A real installation of 0.2.10: its folder, its database with the tables as 0.2.10 makes them, its FAISS files."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

DDL = """
CREATE TABLE knowledge_base (
	id INTEGER NOT NULL,
	kb_name VARCHAR(50),
	kb_info VARCHAR(200),
	vs_type VARCHAR(50),
	embed_model VARCHAR(50),
	file_count INTEGER,
	create_time DATETIME,
	PRIMARY KEY (id)
);
CREATE TABLE knowledge_file (
	id INTEGER NOT NULL,
	file_name VARCHAR(255),
	file_ext VARCHAR(10),
	kb_name VARCHAR(50),
	document_loader_name VARCHAR(50),
	text_splitter_name VARCHAR(50),
	file_version INTEGER,
	file_mtime FLOAT,
	file_size INTEGER,
	custom_docs BOOLEAN,
	docs_count INTEGER,
	create_time DATETIME,
	PRIMARY KEY (id)
);
CREATE TABLE file_doc (
	id INTEGER NOT NULL,
	kb_name VARCHAR(50),
	file_name VARCHAR(255),
	doc_id VARCHAR(50),
	meta_data JSON,
	PRIMARY KEY (id)
);
CREATE TABLE summary_chunk (
	id INTEGER NOT NULL,
	kb_name VARCHAR(50),
	summary_context VARCHAR(255),
	summary_id VARCHAR(255),
	doc_ids VARCHAR(1024),
	meta_data JSON,
	PRIMARY KEY (id)
);
CREATE TABLE conversation (
	id VARCHAR(32) NOT NULL,
	name VARCHAR(50),
	chat_type VARCHAR(50),
	create_time DATETIME,
	PRIMARY KEY (id)
);
CREATE TABLE message (
	id VARCHAR(32) NOT NULL,
	conversation_id VARCHAR(32),
	chat_type VARCHAR(50),
	query VARCHAR(4096),
	response VARCHAR(4096),
	meta_data JSON,
	feedback_score INTEGER,
	feedback_reason VARCHAR(255),
	create_time DATETIME,
	PRIMARY KEY (id)
);
CREATE INDEX ix_message_conversation_id ON message (conversation_id);
"""
EARLY_DDL = """
CREATE TABLE knowledge_base (
	id INTEGER NOT NULL, kb_name VARCHAR, vs_type VARCHAR, embed_model VARCHAR, file_count INTEGER,
	create_time DATETIME, PRIMARY KEY (id)
);
CREATE TABLE knowledge_file (
	id INTEGER NOT NULL, file_name VARCHAR, file_ext VARCHAR, kb_name VARCHAR, document_loader_name VARCHAR,
	text_splitter_name VARCHAR, file_version INTEGER, create_time DATETIME, PRIMARY KEY (id)
);
CREATE TABLE chat_history (
	id VARCHAR(20) NOT NULL, chat_type VARCHAR(50), query VARCHAR(4096), response VARCHAR(4096), meta_data JSON,
	feedback_score INTEGER, feedback_reason VARCHAR(255), create_time DATETIME, PRIMARY KEY (id)
);
"""
CREATED = "2024-02-29 08:15:30"


@dataclass(frozen=True)
class FormerInstallation:
    """An installation whose `knowledge_base` folder is `folder`."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "info.db"

    def create(self, ddl: str = DDL) -> FormerInstallation:
        """Make the folder and the empty tables."""
        self.folder.mkdir(parents=True)
        with closing(sqlite3.connect(self.database)) as connection:
            connection.executescript(ddl)
        return self

    def execute(self, statement: str, *rows: Sequence[object]) -> None:
        """Change the database."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.executemany(statement, rows or [()])

    def add_base(self, name: str, about: str = "", model: str = "bge-large-zh-v1.5", store: str = "faiss") -> None:
        """A base on record, with its empty store."""
        statement = "INSERT INTO knowledge_base VALUES (NULL, ?, ?, ?, ?, 0, ?)"
        self.execute(statement, (name, about, store, model, CREATED))
        vectors = self.folder / name / "vector_store" / model
        vectors.mkdir(parents=True)
        (vectors / "index.faiss").write_bytes(b"IxFI")
        (vectors / "index.pkl").write_bytes(b"cos\nsystem\n(S'touch opened-a-pickle'\ntR.")

    def add_file(
        self, base: str, path: str, text: str | None = None, *, version: int = 1, edited: bool = False
    ) -> None:
        """A file on record, and in the folder when it has a text."""
        size = len(text.encode()) if text is not None else 7
        row = (path, Path(path).suffix, base, "UnstructuredFileLoader", "ChineseRecursiveTextSplitter", version)
        statement = "INSERT INTO knowledge_file VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, 3, ?)"
        self.execute(statement, (*row, 1709194000.25, size, edited, CREATED))
        doc_row = (base, path, "0f1e2d3c", '{"source": "' + path + '"}')
        self.execute("INSERT INTO file_doc VALUES (NULL, ?, ?, ?, ?)", doc_row)
        if text is not None:
            self.lay(base, path, text)

    def add_message(self, id_: str, thread: str | None, question: str, answer: str | None, at: str = CREATED) -> None:
        """A question with its answer, as the server writes it."""
        statement = "INSERT INTO message VALUES (?, ?, 'llm_chat', ?, ?, '{}', -1, '', ?)"
        self.execute(statement, (id_, thread, question, answer, at))

    def lay(self, base: str, path: str, text: str) -> Path:
        """Put a file into a base's folder."""
        file = self.folder / base / "content" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def everything(self) -> dict[str, bytes]:
        """Every file below the folder with its content: the importer must leave it as it is."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in files}


def filled(folder: Path) -> FormerInstallation:
    """An installation as people have it: two bases, sub-folders, Chinese names, edits, conversations, a rating."""
    made = FormerInstallation(folder).create()
    made.add_base("人事制度", "关于人事制度的知识库")
    made.add_file("人事制度", "年假.txt", "年假 五天", version=3)
    made.add_file("人事制度", "2023/报告.md", "# 报告\n\n病假 十天")
    made.add_file("人事制度", "改过.txt", "婚假 三天", edited=True)
    made.add_base("docs", "", model="all-minilm-l6-v2", store="milvus")
    made.add_file("docs", "readme.md", "# Read me\n\nHolidays are long.")
    made.lay("docs", "loose.txt", "never indexed")
    made.add_message("m1", "c1", "年假几天？", "五天", "2024-03-01 09:00:00")
    made.add_message("m2", "c1", "病假呢？", "十天", "2024-03-01 09:01:00")
    made.add_message("m3", "", "hello", None, "2024-03-02 09:00:00")
    made.execute("UPDATE message SET feedback_score = 90, feedback_reason = '好' WHERE id = 'm2'")
    made.execute("INSERT INTO summary_chunk VALUES (NULL, '人事制度', '总结', 's1', 'a,b', '{}')")
    return made
