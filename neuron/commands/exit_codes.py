"""Exit codes, as every `--help` ends with them; the classes are in `errors` modules."""

from __future__ import annotations

EXIT_CODES = """\b
Exit codes:
  0  done
  1  failed
  2  bad usage, or a pair that cannot work
  3  weights not on this machine, or an artefact not there
  4  the engine cannot start, or its artefact is for something else
  5  an artefact or weights are damaged
  6  the store cannot be reached, or refuses
"""
