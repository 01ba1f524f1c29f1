"""An order pipeline: see README.md in this folder."""
