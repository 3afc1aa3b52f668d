"""Runs safety's migrations in its schema."""

from alembic import context

from services.kernel.migrating import run_environment

run_environment("safety", context.config)
