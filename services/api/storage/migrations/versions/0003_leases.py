"""Leases on ingest jobs, their progress, and the chunks that the indexes have yet to forget."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("ingest_jobs") as jobs:
        jobs.add_column(
            sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False, server_default="2000-01-01 00:00:00")
        )
        jobs.add_column(sa.Column("holder", sa.Text(), nullable=False, server_default=""))
        jobs.add_column(sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True))
        jobs.add_column(sa.Column("asked_by", sa.Text(), nullable=False, server_default=""))
        jobs.add_column(sa.Column("stage", sa.Text(), nullable=False, server_default="waiting"))
        jobs.add_column(sa.Column("done", sa.Integer(), nullable=False, server_default="0"))
        jobs.add_column(sa.Column("total", sa.Integer(), nullable=True))
    op.create_table(
        "stale_chunks",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("knowledge_base_id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stale_chunks"),
    )
