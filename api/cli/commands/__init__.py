"""The commands of `medsiglip`, by topic. Each calls one method of
`medsiglip.api.archive.archive.Archive` and prints the answer.
"""
