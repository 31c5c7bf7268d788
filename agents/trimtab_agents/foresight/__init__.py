"""When what grows will meet its limit: memory, latency, connections.

Read `trend.py` (what a series does), then `forecast.py` (when it calls, and when it must not), then
`record.py` (how often such calls were right before). Arrays, without a daemon.
"""

from trimtab_agents.foresight.forecast import Finding, Forecast, Series, forecast
from trimtab_agents.foresight.record import Record, record

__all__ = ["Finding", "Forecast", "Record", "Series", "forecast", "record"]
