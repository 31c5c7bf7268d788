"""Registers the environments; Gymnasium calls this through its ``gymnasium.envs`` entry point."""

from __future__ import annotations

import gymnasium as gym

from trimtab_envs.service import ENV_ID


def register_envs() -> None:
    """Make ``gym.make("trimtab/Service-v1")`` work; a second call changes nothing."""
    if ENV_ID not in gym.registry:
        gym.register(id=ENV_ID, entry_point="trimtab_envs.service:ServiceEnv")
