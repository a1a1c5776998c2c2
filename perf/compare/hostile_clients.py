#!/usr/bin/env python3
"""Clients of srpt-app's socket who mean no good, for hostile.sh: 200 at a time, until they are killed.

    hostile_clients.py SOCKET
"""

import json
import socket
import sys
import threading
import time

CLIENTS = 200


def call(method, **params):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def nuisances(number):
    """What one of them sends, each by a connection of its own."""
    own = f"null{number}"
    yield b'{"jsonrpc": "2.0", "id": 1, "method": "bdev_'  # half a message
    yield b"[" * (1 << 20)  # nesting
    yield b"\xff" * (1 << 16)
    yield b"[" + b"0," * (1 << 20) + b"0]"  # 2 MiB of what is no request
    yield b"[" + b",".join([call("rpc.discover")] * 100) + b"]"  # answers of many MiB
    yield call("bdev_null_create", name=own, num_blocks=8, block_size=512)
    yield call("bdev_null_create", name=own, num_blocks=8, block_size=512)  # the name is taken
    yield call("bdev_null_delete", name=own)
    yield call("bdev_malloc_delete", name="ram0")  # in use
    yield call("bdev_malloc_create", name="huge", num_blocks=(1 << 64) - 1, block_size=4096)
    yield call("bdev_malloc_create", name=["ram1"], num_blocks="many", block_size=None, colour=1)  # wrong types
    yield call("srp_create_target", name="tgt0", id_ext="1", ioc_guid="2")
    yield call("load_config", subsystems=[{"subsystem": "bdev", "config": [{"method": "bdev_malloc_create", "params": {}}] * 1000}])
    yield call("save_config")
    if number % 10 == 0:
        yield b'["' + b"x" * (100 << 20)  # 100 MiB


def annoy(path, number):
    while True:
        for index, nuisance in enumerate(nuisances(number)):
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                    client.settimeout(0.5)
                    client.connect(path)
                    client.sendall(nuisance)
                    if (number + index) % 3 == 1:
                        time.sleep(0.2)  # who does not read
                    elif (number + index) % 3 == 2:
                        client.recv(4096)
            except OSError:
                time.sleep(0.01)  # refused, or hung up on


for client in range(CLIENTS):
    threading.Thread(target=annoy, args=(sys.argv[1], client), daemon=True).start()
time.sleep(3600)
