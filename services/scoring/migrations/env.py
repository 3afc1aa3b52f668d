from alembic import context

from services.kernel.migrating import run_environment

run_environment("scoring", context.config)
