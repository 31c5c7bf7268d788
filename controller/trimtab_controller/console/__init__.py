"""The web console: a process of its own, and a client of the daemon like any other.

Nothing here can stall the loop, and nothing here decides who may do what: every call carries the
token of the person who made it, and the daemon's gate answers. Read `serve` first, then `page`;
`feed` is how ticks come in, `doors` and `sessions` are what stands between it and the web.
"""
