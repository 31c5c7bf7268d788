"""Ways to act: each stage reports what is and applies floors and route weights."""
