"""``trimtab bench guard``: hostile lives for the guard, and a checker that shares no code with it.

The checker, from SAFETY.md: ``past`` (what a perfect memory knows), ``scene`` (what the present
allows, as numbers), ``promises`` (a verdict against them), ``ceilings`` (budgets and modes).
The lives: ``hostile`` (policies), ``world`` (services, and sensors that lie), ``facts`` (modes),
``life`` (all of it, tick by tick). Then ``copies`` (bugs that must be found) and ``bench``.
"""
