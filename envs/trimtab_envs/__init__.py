"""Gymnasium environments, and the codec that they share with the daemon.

Importing this package registers ``trimtab/Service-v1``: Gymnasium 1.0 no longer loads
plugins by entry point, so ``gym.make("trimtab_envs:trimtab/Service-v1")`` is its own way.
"""

from __future__ import annotations

from gymnasium.envs.registration import register, registry

if "trimtab/Service-v1" not in registry:
    register(id="trimtab/Service-v1", entry_point="trimtab_envs.service:ServiceEnv")
