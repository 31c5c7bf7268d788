"""What of the guard's limits the API server itself can see to, for trimtab's own account.

A ValidatingAdmissionPolicy sees one write: the object before and after it. `rules.py` has what it
checks, in CEL, `tables.py` the limits of a configuration as CEL reads them, and `policies.py` puts
both into the objects that `kubectl apply` takes.
"""
