"""The commands of `medsiglip`, by topic. Each is thin: it calls one method of
`medsiglip.api.archive.archive.Archive` and shows the answer.
"""
