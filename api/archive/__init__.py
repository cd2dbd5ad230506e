"""`Archive` and its verbs: what the command line and the HTTP service both do. No HTTP here."""
