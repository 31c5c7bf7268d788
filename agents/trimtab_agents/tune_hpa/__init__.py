"""The best Kubernetes HPA for one service, found in the simulator on the service's own past.

Read `dials.py` (what can be turned), `search.py` (the study), `finding.py` (is it better?),
`manifest.py` (the patch), then `command.py`.
"""
