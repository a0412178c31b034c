"""The include rule's checker finds each kind of violation in a small bad tree, and none in a good one."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHECKER = Path(__file__).resolve().parents[2] / "tools" / "check_includes.py"
GOOD = {
    "base/CMakeLists.txt": "tandem_library(base_status SRCS status.cc)\n",
    "base/status.h": "// Status.\n#pragma once\n#include <string>\n",
    "base/status.cc": '#include "base/status.h"\n#include "absl/status/status.h"\n',
    "transport/CMakeLists.txt": "tandem_library(transport_grpc SRCS\n  grpc_server.cc)\n",
    "transport/grpc_server.cc": '#include <grpcpp/server.h>\n#include "tandem/expert/v1/expert_service.pb.h"\n'
    '#include "base/status.h"\n',
    "router/CMakeLists.txt": "tandem_library(router_engine SRCS engine.cc)\n",
    "router/engine.cc": '#include "base/status.h"\n#include "scheduler/batcher.h"\n',
    "scheduler/batcher.h": "#pragma once\n",
    "compute/cpu/kernel_inl.h": "#if defined(K_INL_H) == defined(HWY_TARGET_TOGGLE)\n#endif\n",
}


class CheckIncludesTest(unittest.TestCase):
    def check(self, extra=None):
        """Exit status and output of the checker over GOOD with `extra` files on top."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**GOOD, **(extra or {})}.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            done = subprocess.run([sys.executable, CHECKER, folder], capture_output=True, text=True, check=False)
            return done.returncode, done.stdout

    def assert_rejected(self, name, text, expected):
        status, output = self.check({name: text})
        self.assertEqual(status, 1, output)
        self.assertIn(expected, output)

    def test_accepts_a_good_tree(self):
        status, output = self.check()
        self.assertEqual(status, 0, output)

    def test_an_empty_tree_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, CHECKER, folder], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)

    def test_rejects_includes_that_point_up(self):
        for source, header in [
            ("base/a.h", "compute/dtype.h"),
            ("compute/a.h", "model/decoder.h"),
            ("transport/a.h", "router/engine.h"),
            ("scheduler/a.h", "scheduler/control_plane/server.h"),
            ("router/a.h", "cli/serve.h"),
        ]:
            text = f'#pragma once\n\n#include "{header}"\n'
            self.assert_rejected(source, text, f"{source}:3: includes {header}: ")

    def test_rejects_includes_of_the_same_level(self):
        for source, header in [
            ("router/a.h", "expert_worker/store.h"),
            ("expert_worker/a.h", "router/engine.h"),
            ("model/a.h", "transport/frame.h"),
            ("scheduler/a.h", "compute/dtype.h"),
            ("compute/a.h", "proto/options.h"),
        ]:
            self.assert_rejected(source, f'#pragma once\n#include "{header}"\n', "on one level")

    def test_rejects_grpc_and_protobuf_outside_their_folders(self):
        for header in ["<grpcpp/server.h>", "<google/protobuf/message.h>", '"tandem/expert/v1/expert_service.pb.h"']:
            text = f"#pragma once\n#include {header}\n"
            self.assert_rejected("router/engine.h", text, "gRPC and protobuf headers stop")
            self.assertEqual(self.check({"router/grpc_api.h": text})[0], 0)

    def test_rejects_naming_a_backend_above_compute(self):
        text = '#pragma once\n#include "compute/cpu/cpu_backend.h"\n'
        self.assert_rejected("model/a.h", text, "cli/ alone decides")
        self.assertEqual(self.check({"cli/a.h": text})[0], 0)

    def test_rejects_including_tests(self):
        self.assert_rejected("router/a.h", '#pragma once\n#include "tests/util.h"\n', "nothing outside tests/")

    def test_rejects_includes_not_written_from_the_root(self):
        self.assert_rejected("base/a.h", '#pragma once\n#include "status.h"\n', '#include "base/status.h"')
        self.assert_rejected("base/a.h", '#pragma once\n#include "../base/status.h"\n', "from the repository root")
        self.assert_rejected("base/a.h", "#pragma once\n#include <base/status.h>\n", "are quoted")

    def test_rejects_a_header_without_pragma_once(self):
        self.assert_rejected("base/a.h", "int f();\n", "base/a.h:1: headers start with #pragma once")

    def test_rejects_a_source_that_is_not_built(self):
        self.assert_rejected("base/orphan.cc", "int x;\n", "not named in base/CMakeLists.txt")
        self.assert_rejected("cli/main.cc", "int main() {}\n", "no CMakeLists.txt governs")


if __name__ == "__main__":
    unittest.main()
