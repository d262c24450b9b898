"""`bench auto`: what choosing the pool per request is worth, against an oracle."""
