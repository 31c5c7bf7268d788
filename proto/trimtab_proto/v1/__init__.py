"""Version 1 of the APIs."""
