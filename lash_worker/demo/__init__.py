"""The app and the plan of ``lash demo``."""
