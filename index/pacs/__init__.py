"""What the catalogue keeps of the exchange with PACS: connections, their studies, what is sent."""
