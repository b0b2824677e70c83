"""Ingest jobs and the chunks they stage."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ingest_jobs",
        sa.Column("file_id", sa.String(32), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("splitter", sa.JSON(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("is_staged", sa.Boolean(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("loader", sa.Text(), nullable=False),
        sa.Column("splitter_class", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["knowledge_files.id"], name="fk_ingest_jobs_file_id_knowledge_files", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("file_id", name="pk_ingest_jobs"),
    )
    op.create_table(
        "staged_chunks",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("knowledge_base_id", sa.String(32), nullable=False),
        sa.Column("file_id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("place", sa.JSON(), nullable=False),
        sa.Column("is_indexed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["knowledge_files.id"], name="fk_staged_chunks_file_id_knowledge_files", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_staged_chunks"),
    )
    op.create_index("ix_staged_chunks_file_id", "staged_chunks", ["file_id"])
