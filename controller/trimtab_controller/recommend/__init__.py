"""`Recommend`: the same policy and guard for whoever has an autoscaler of their own.

Each caller has a memory of its own for each service, apart from the loop's, so that it can teach
neither the loop nor another caller, nor use up budgets. It is kept here, in the process, for as
many callers as there is room for. Without one, after a restart or because others needed the room,
the guard lets nothing go down before a full window has been reported, and the answer says so.
"""
