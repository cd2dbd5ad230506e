"""Long-running operations: `handlers.py` has the kinds of jobs, `worker.py` the process that runs them.

The commands `serve` and `worker` use `Worker` and `SupervisedProcess`; handlers use `JobRun`.
"""
