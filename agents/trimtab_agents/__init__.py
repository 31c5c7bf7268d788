"""Everything that decides: rules, PPO, the clairvoyant bound, and the benchmark between them."""
