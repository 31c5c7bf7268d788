"""How fast the daemon is: its API beside a bare echo, and a whole tick of thousands of services."""
