"""What the archive, the HTTP service and the client answer with: one frozen pydantic model for each answer.

The archive's verbs return these models, the command line and HTTP write them as JSON, and the client reads
them back. The folder needs pydantic alone; anything may import from it.
"""
