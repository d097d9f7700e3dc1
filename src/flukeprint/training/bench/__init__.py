"""The bench of papers: every recipe trained and scored the same way, in one table."""
