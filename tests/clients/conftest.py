"""Where the server under test is: TANDEM_URL ("http://host:port") and TANDEM_GRPC ("host:port").

Any model will do: nothing here looks at what the model says, only at how it is said.
"""

import os
import sys
from pathlib import Path

import grpc
import pytest
import requests
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def url():
    if "TANDEM_URL" not in os.environ:
        pytest.skip("TANDEM_URL is not set: run through tests/e2e/with_server.py")
    return os.environ["TANDEM_URL"].rstrip("/")


@pytest.fixture(scope="session")
def model(url):
    return requests.get(f"{url}/v1/models", timeout=30).json()["data"][0]["id"]


@pytest.fixture(scope="session")
def max_model_len(url):
    return requests.get(f"{url}/v1/models", timeout=30).json()["data"][0]["max_model_len"]


@pytest.fixture(scope="session")
def channel():
    if "TANDEM_GRPC" not in os.environ:
        pytest.skip("TANDEM_GRPC is not set: run through tests/e2e/with_server.py")
    with grpc.insecure_channel(os.environ["TANDEM_GRPC"]) as channel:
        yield channel


@pytest.fixture(scope="session")
def chat_protos(tmp_path_factory):
    """(messages, services) generated from the committed contract, as a client would."""
    out = tmp_path_factory.mktemp("stubs")
    proto = "tandem/chat/v1/chat_service.proto"
    status = protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"-I{Path(protoc.__file__).parent / '_proto'}",
                          f"--python_out={out}", f"--grpc_python_out={out}", proto])
    assert status == 0
    sys.path.insert(0, str(out))
    from tandem.chat.v1 import chat_service_pb2, chat_service_pb2_grpc  # pylint: disable=import-outside-toplevel
    return chat_service_pb2, chat_service_pb2_grpc
