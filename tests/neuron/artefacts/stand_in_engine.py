"""In vLLM's place: compiles, if there is nothing compiled, and then answers /health."""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    argv = sys.argv[1:]
    options = json.loads(argv[argv.index("--additional-config") + 1])["specserve"]
    folder = Path(options["artefacts"])
    trace = Path(os.environ["STAND_IN_TRACE"])
    with trace.open("a") as file:
        file.write("load\n" if (folder / "model.pt").exists() else "compile\n")
    if (code := os.environ.get("STAND_IN_EXIT")) and code in trace.read_text().splitlines()[-1]:
        sys.exit(3)
    if not (folder / "model.pt").exists():
        folder.mkdir(parents=True)
        written = {
            "tp_degree": options["tp_degree"],
            "batch_size": options["max_num_seqs"],
            "seq_len": options["max_model_len"],
            "max_context_length": options["max_prompt_len"],
            "speculation_length": options["num_draft_tokens"]
            + int(os.environ.get("STAND_IN_K", 1)),
        }
        (folder / "neuron_config.json").write_text(json.dumps({"neuron_config": written}))
        (folder / "model.pt").write_bytes(b"graph")
    HTTPServer(("127.0.0.1", int(argv[argv.index("--port") + 1])), Health).serve_forever()


if __name__ == "__main__":
    main()
