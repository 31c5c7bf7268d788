"""What trimtab tells the outside while it runs: metrics, logs and a webhook.

None of it may hold up the loop: `metrics` reads what the loop has published, whenever somebody
asks, and `webhook` sends from a thread of its own. `spec` is their part of trimtab.yaml.
"""
