"""The daemon that steers: it senses, decides, gates, acts and remembers (`loop.py`)."""
