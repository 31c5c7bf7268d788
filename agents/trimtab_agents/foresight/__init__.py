"""When what grows will meet its limit: memory, latency, connections.

Read `trend.py` (what a series does), then `calls.py` (when it calls, and when it must not), then
`past.py` (how often such calls were right before). Arrays, without a daemon.
"""

from trimtab_agents.foresight.calls import Finding, Forecast, Series, forecast
from trimtab_agents.foresight.past import Record, record

__all__ = ["Finding", "Forecast", "Record", "Series", "forecast", "record"]
