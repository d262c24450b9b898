"""One file per task: its phrasings, its answer, its validator."""
