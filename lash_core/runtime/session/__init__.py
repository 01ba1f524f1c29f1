"""A session on its handle: edits, queue, commands, lease, children."""
