"""When a temporary knowledge base expires."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("knowledge_bases", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
