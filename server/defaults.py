"""What holds where nothing is said, for the options of `server` and for its parts alone."""

from typing import Literal

WhenDown = Literal["local", "refuse"]

HEADER_TIMEOUT_S = 30.0
BODY_TIMEOUT_S = 30.0
QUEUE_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
FIRST_TOKEN_TIMEOUT_S = 120.0
CHUNK_TIMEOUT_S = 60.0
WRITE_TIMEOUT_S = 60.0
TOTAL_TIMEOUT_S = 600.0
MAX_IN_FLIGHT = 64
MAX_QUEUED = 128
MAX_BODY_BYTES = 4 * 1024 * 1024
ENGINE_START_TIMEOUT_S = 600.0
ENGINE_STOP_GRACE_S = 5.0
ENGINE_MAX_FAILURES = 5
