"""Long work: the kinds of jobs, one attempt at a job, and the worker process."""
