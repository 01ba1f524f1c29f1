"""Protocols: how a turn talks to a model. Pure machines; the runtime does what they ask for."""
