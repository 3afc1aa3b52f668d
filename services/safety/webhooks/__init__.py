"""Outbound webhooks: what is told to whom, how it is signed, where it may be sent."""
