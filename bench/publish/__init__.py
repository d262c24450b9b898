"""A result where others find it: S3 for what was measured, CloudWatch for figures over time."""
