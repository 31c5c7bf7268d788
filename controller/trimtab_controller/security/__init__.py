"""Who may call what: certificates, tokens, roles, quotas, and the record of what was denied.

Follow one call: `gate` stops it, `callers` finds out who it is, `roles` says what that one may,
`quotas` how often, and `denials` keeps what was refused. `certificates` has the TLS below all that,
`spec` what of it trimtab.yaml says, and `entrance` puts it together.
"""
