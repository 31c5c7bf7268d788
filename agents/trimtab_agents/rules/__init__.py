"""Plain rules that decide without learning: opponents to beat and baselines to fall back on."""
