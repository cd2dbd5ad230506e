"""Routes below /v1/pacs: connections, questions to a PACS, studies brought in, what is sent."""
