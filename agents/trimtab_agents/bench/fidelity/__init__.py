"""Is the fast simulator true? Against formulas, and against a request-level event model."""
