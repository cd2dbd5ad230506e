"""What writes drafts: a server, a model in this process, or scores alone."""
