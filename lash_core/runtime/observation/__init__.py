"""Publishing a session to those who watch it (``docs/contracts/observation.md`` 5)."""
