"""Background tasks of sessions: hidden, managed and external ones, async handles, monitors."""
