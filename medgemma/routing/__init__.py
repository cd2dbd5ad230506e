"""Routing rules: which studies go to a generator.

`rules` has `Rule`, `DraftOptions` and the reading of rules from TOML and JSON; `router` evaluates the rules
that an index keeps (`medsiglip.index.service.routing_rules`). In commands, HTTP paths, JSON and tables a rule
is called a route.
"""
