"""A study's scores and facts, read as columns."""
