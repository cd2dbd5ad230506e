"""The HTTP service: `app.py` puts it together, `serving.py` runs it.

`routes` has one file for each topic and `schemas` its request bodies; the files here are what routes share:
API keys and scopes, rate limits, uploads, STOW-RS, problems (RFC 9457), the log and metrics. The command
`serve` uses `create_app`, `open_sockets`, `serve` and `configure_logging`.
"""
