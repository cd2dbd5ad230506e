"""One model for all threads of a server, in a process of its own, fed with batches.

Other packages use `SharedEncoder` of `shared_encoder.py`. Behind it, `request_batching.py` makes batches of
the requests of many threads, `supervisor.py` keeps the process running, `child.py` is that process as its
parent sees it, and `process.py` is what runs in it.
"""
