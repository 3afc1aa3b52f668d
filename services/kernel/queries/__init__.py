"""Open queries: what is odd about records as they stand, listed and answered.

What a warning asks is a rule of `records`. This room is joined to a service by its `routes`.
"""
