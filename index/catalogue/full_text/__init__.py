"""Full-text search of report texts: how texts and questions become terms, the tables, and the ranking."""
