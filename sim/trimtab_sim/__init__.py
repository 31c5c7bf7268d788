"""The cluster model that policies are trained and judged on: fast, and checked for honesty."""
