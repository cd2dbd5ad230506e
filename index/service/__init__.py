"""Rows of the service beside the cases: jobs, API keys, the audit trail, drafts and routing rules.

Each module has a store, which is an attribute of `CaseIndex`, and its records.
"""
