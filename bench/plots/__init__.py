"""Pictures for a report page, a kind per file."""
