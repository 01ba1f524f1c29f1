"""The parts of an execution context."""
