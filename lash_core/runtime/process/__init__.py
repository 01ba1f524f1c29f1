"""Processes at work: what runs them, and what their code is given."""
