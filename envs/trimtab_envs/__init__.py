"""Gymnasium environments, and the codec that they share with the daemon.

Importing this package registers ``trimtab/Service-v1`` and ``trimtab/Cluster-v1``, also for
``gym.make_vec``: Gymnasium 1.0 no longer loads plugins by entry point, so
``gym.make("trimtab_envs:trimtab/Service-v1")`` is its own way.
"""

from __future__ import annotations

from gymnasium.envs.registration import register, registry

for _id, _class in (
    ("trimtab/Service-v1", "trimtab_envs.service:Service"),
    ("trimtab/Cluster-v1", "trimtab_envs.cluster:Cluster"),
):
    if _id not in registry:
        register(_id, f"{_class}Env", vector_entry_point=f"{_class}VectorEnv")
