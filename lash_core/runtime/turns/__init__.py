"""Turns: from input to commit (``docs/contracts/turns.md``)."""
