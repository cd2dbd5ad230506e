"""`Client`, the HTTP service from Python: `medsiglip.Client`.

`client` has the methods, `connection` sends their requests, and the results are the models of
`medsiglip.answers`. The folder needs httpx and pydantic alone (requirements-client.txt).
"""

from medsiglip.client.client import ApiError, Client, JobError, TruncatedTextWarning

__all__ = ["ApiError", "Client", "JobError", "TruncatedTextWarning"]
