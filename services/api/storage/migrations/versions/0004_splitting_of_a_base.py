"""How a knowledge base's files are cut."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("knowledge_bases", sa.Column("splitter", sa.Text(), nullable=True))
    op.add_column("knowledge_bases", sa.Column("chunk_chars", sa.Integer(), nullable=True))
    op.add_column("knowledge_bases", sa.Column("overlap_chars", sa.Integer(), nullable=True))
