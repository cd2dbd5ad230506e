"""Signing in by OpenID Connect, and access tokens of the same provider in place of API keys.

`configuration` is what the settings say of the provider, `provider` asks it, `tokens` checks what it signed,
`attempt` ties a way to the provider and back to one browser, `people` knows who signed in, `bearer` takes
access tokens, `routes` are the two addresses of the way.
"""
