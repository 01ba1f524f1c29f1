"""The journal of effects: what a run, a turn or a scope recorded, and how it is answered from it."""
