"""Rows of the service beside the cases: jobs, API keys, audit trail, drafts and routing rules."""
