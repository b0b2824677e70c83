"""Fingerprints of files, by which near-duplicates are found."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("knowledge_files") as files:
        files.add_column(sa.Column("fingerprint", sa.String(16), nullable=True))
