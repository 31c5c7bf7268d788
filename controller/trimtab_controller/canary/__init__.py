"""New versions on trial: a share of the live traffic for one backend, beside another one.

In the order in which it is worth reading: `plan.py` (what is wanted), `trial.py` (how it goes on
and ends; the statistics are `trimtab_agents.canary`), `sides.py` (what is measured), `steer.py`
(what it makes of the policy's proposal, which the guard then judges as any other), `canaries.py`
(all trials, in the journal), `messages.py` (the API's).
"""
