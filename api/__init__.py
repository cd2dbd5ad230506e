"""The archive, and the two ways to it: the HTTP service and the command line.

`archive` has the operations (ingest, search, classify, drafts), free of HTTP; `http` the service, `cli` the
commands, `encoder` the model shared by all requests, `jobs` the worker that runs long operations. Settings
and errors are in the files beside them.
"""
