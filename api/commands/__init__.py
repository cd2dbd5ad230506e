"""The commands of `medsiglip`, by topic. Each is thin: it calls one method of `api.service.Archive` and
shows the answer.
"""
