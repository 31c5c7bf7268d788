"""`trimtab bench live`: HPA and policy on the real stage, and what the simulator says of both."""
