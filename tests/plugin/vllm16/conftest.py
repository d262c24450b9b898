from __future__ import annotations

import os

# Before vLLM is imported anywhere: its own platforms do not load here.
os.environ["SPECSERVE_PLUGIN"] = "torch"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["VLLM_NO_USAGE_STATS"] = "1"
