"""Scoring's operations: assessments, whole visits, outcomes, evaluations."""
