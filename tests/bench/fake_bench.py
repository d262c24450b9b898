"""The command `bench` with fakes as its engines: `python -m tests.bench.fake_bench OPTIONS`."""

import sys

from bench.cli import run
from bench.client_limit import UNLIMITED
from bench.setup import Setup
from tests.bench.processes import as_child

sys.exit(run(sys.argv[1:], Setup(as_child, watch_s=0.01, limits=UNLIMITED)))
