"""Training by PPO: the only part of trimtab that imports torch and Stable-Baselines3."""
