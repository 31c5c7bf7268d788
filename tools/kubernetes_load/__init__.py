"""What a daemon with many services on Kubernetes takes: CPU, memory, calls and time of each tick.

python -m tools.kubernetes_load [--services 1000] [--ticks 12]

The daemon is the real one, in a process of its own, in guarded mode with the shipped policy. The
API server is the tests' fake, with TLS, and what answers for Prometheus is made here: `town.py`
fills the cluster with services, `life.py` lets them live, `daemon.py` runs what is measured.
"""
