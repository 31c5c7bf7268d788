"""Sees through a Prometheus server: one query for each signal, and that for all services at once.

`spec.py` is what the user writes, `presets.py` what the queries are by themselves, `client.py` one
question, `survey.py` all of them, `watch.py` asks again and again beside the loop, and `sensor.py`
is what the loop reads.
"""
