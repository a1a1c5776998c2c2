"""rpc.py SOCKET METHOD [PARAMS-AS-JSON [METHOD PARAMS-AS-JSON]...]: JSON-RPC calls, one after the other; prints each result as JSON, or the
error, and then the status is 1."""
import json
import socket
import sys


def call(connection, method, params):
    connection.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": json.loads(params)}).encode())
    reply = b""
    while True:
        chunk = connection.recv(65536)
        reply += chunk
        try:
            return json.loads(reply)
        except ValueError:
            if not chunk:
                sys.exit(f"{method}: the target closed the connection after {reply!r}")


path, *calls = sys.argv[1:]
calls += ["{}"] * (len(calls) % 2)
method, failed = calls[0], False
with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout(30)
    try:
        connection.connect(path)
        for method, params in zip(calls[::2], calls[1::2]):
            answer = call(connection, method, params)
            if "error" in answer:
                failed = True
                print(f"{method}: {json.dumps(answer['error'])}", file=sys.stderr, flush=True)
            else:
                print(json.dumps(answer["result"], indent=1), flush=True)
    except OSError as error:
        sys.exit(f"{method}: {path}: {error}")
sys.exit(failed)
