"""Other benchmark programs beside our client, on the same engine in the same run.

What they print is set against what our own events give under their definitions. They are never
imported here: each runs as the program that its users run.
"""
