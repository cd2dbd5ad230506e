"""A Ray cluster of two nodes on loopback, in a process of its own: it ends with its standard input.

Lines on standard input are commands, each answered by one line of JSON: `kill-node`, `add-node`.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

HOSTS = ("127.0.0.2", "127.0.0.3")
STARTS = 6
STORE_BYTES = 200 << 20


def _free_port(host: str) -> int:
    with socket.socket() as listener:
        listener.bind((host, 0))
        port: int = listener.getsockname()[1]
        return port


def _started(start: Any) -> Any:
    """A node: one that starts slowly, because the machine has much to do, is ended by Ray itself."""
    for attempt in range(STARTS):
        try:
            return start()
        except Exception as error:
            print(f"attempt {attempt}: {error}", file=sys.stderr)
    raise SystemExit("no node of Ray starts")


def main() -> None:
    from ray.cluster_utils import Cluster

    cpus = int(sys.argv[1])
    options = {"num_cpus": cpus, "object_store_memory": STORE_BYTES}
    clients = _free_port(HOSTS[0])
    head = {
        **options,
        "node_ip_address": HOSTS[0],
        "include_dashboard": False,
        "ray_client_server_port": clients,
    }
    cluster = _started(lambda: Cluster(initialize_head=True, head_node_args=head))

    def add() -> Any:
        return _started(lambda: cluster.add_node(node_ip_address=HOSTS[1], **options))

    second = add()
    print(json.dumps({"address": f"ray://{HOSTS[0]}:{clients}", "gcs": cluster.address}), flush=True)
    for line in sys.stdin:
        command = line.strip()
        if command == "kill-node":
            cluster.remove_node(second, allow_graceful=False)
        elif command == "add-node":
            second = add()
        print(json.dumps({"done": command}), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    main()
