"""Commands about PACS, and the receiver."""
