"""rpc.py SOCKET METHOD [PARAMS-AS-JSON]: one JSON-RPC call; prints the result as JSON, or the error, with status 1."""
import json
import socket
import sys

path, method, params = (sys.argv[1:] + ["{}"])[:3]
with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout(30)
    try:
        connection.connect(path)
        connection.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": json.loads(params)}).encode())
        reply = b""
        while True:
            chunk = connection.recv(65536)
            reply += chunk
            try:
                answer = json.loads(reply)
                break
            except ValueError:
                if not chunk:
                    sys.exit(f"{method}: the target closed the connection after {reply!r}")
    except OSError as error:
        sys.exit(f"{method}: {path}: {error}")

if "error" in answer:
    sys.exit(f"{method}: {json.dumps(answer['error'])}")
print(json.dumps(answer["result"], indent=1))
