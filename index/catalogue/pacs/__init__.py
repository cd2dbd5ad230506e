"""Tables of the exchange with PACS."""
