"""KEDA's external scaler: whoever scales with KEDA keeps it, and trimtab tells it what to want.

Here the hand that writes is KEDA's HPA, and how far trimtab is trusted with it is written in the
ScaledObject: a service's mode is about trimtab's own writes. `trimtab stop` ends both.
"""
