"""Enrolment's operations, a file for each part of a participant's record."""
