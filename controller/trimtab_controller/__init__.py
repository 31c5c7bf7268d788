"""The daemon that steers: it senses, decides, gates, acts and remembers (`loop.py`)."""

import os

# gRPC looks once, when it is imported. Its default writes a line for every handshake that fails:
# whoever reaches the port could fill the log, and a command's error would not be one line.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
