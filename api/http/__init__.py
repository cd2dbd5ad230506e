"""The HTTP service: `app.py` puts it together; what happens around requests; the server itself."""
