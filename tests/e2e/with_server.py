"""Runs a command against a real server and returns its exit status: with_server.py -- COMMAND...

The server is the bundled model with two expert workers on free ports; the command finds it in TANDEM_URL
("http://127.0.0.1:PORT") and TANDEM_GRPC ("127.0.0.1:PORT").
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tandem_process import serve


def main():
    if len(sys.argv) < 3 or sys.argv[1] != "--":
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder, "log")) as server:
        env = {**os.environ, "TANDEM_URL": server.url, "TANDEM_GRPC": f"127.0.0.1:{server.grpc_port}"}
        status = subprocess.run(sys.argv[2:], env=env, check=False).returncode
        if status != 0:
            print(f"server log:\n{server.log_text()[-8000:]}", file=sys.stderr)
        return status


if __name__ == "__main__":
    sys.exit(main())
