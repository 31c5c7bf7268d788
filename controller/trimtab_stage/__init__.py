"""The local stage: a small real cluster on one machine, to try everything on.

Read `stage.py` first: it puts the parts together. A real Envoy routes (`xds`, `ads`, `envoy`), real
processes answer (`replica`, `fleet`), a generator replays a trace (`replay`, `load`, `traffic`),
and the HPA scales (`incumbent`) until somebody asks for more (`spec`, `cluster`, `service`).
"""
