"""garbage.py LID: sends datagrams of the device management class, most of them wrong in some way, through libibumad, and checks that each is answered as it
should be, or not at all. Runs at the initiator's port of discovery-check.sh."""
import ctypes
import random
import struct
import sys

HEADER, MAD = 64, 256
QKEY = ctypes.c_int32(0x80010000).value
umad = ctypes.CDLL("libibumad.so.3")


def request(rand):
    """A random header: right in most of its fields, each of which is wrong now and then."""
    pick = lambda right, chance: rand.randrange(256) if rand.random() < chance else right
    attribute = rand.choice([0x01, 0x10, 0x11, 0x12, rand.randrange(1 << 16)])
    modifier = rand.choice([0, 1, 2, 9, 0x10000, 0x10100, 0x20000, rand.randrange(1 << 32)])
    fixed = bytes([pick(1, 0.1), 6, pick(1, 0.1), pick(rand.choice([1, 2]), 0.2) & 0x7F])
    status = rand.choice([0, rand.randrange(1 << 16)])
    return fixed + struct.pack(">HHQHHI", status, 0, rand.randrange(1 << 32), attribute, 0, modifier) + rand.randbytes(MAD - 24)


def check(sent, answer):
    """What is wrong with an answer, `None` standing for none."""
    wants_one = sent[0] == 1 and sent[2] == 1 and sent[3] not in (3, 5, 7)
    if answer is None:
        return "no answer" if wants_one else None
    if not wants_one:
        return "an answer"
    # The upper half of the transaction is libumad2sim's.
    same = answer[:4] == bytes([1, 6, 1, 0x81]) and answer[12:24] == sent[12:24]
    known = struct.unpack(">H", answer[4:6])[0] in (0, 0x08, 0x0C, 0x1C, 0x100)
    return None if same and known else f"the answer {answer[:24].hex()}"


port = umad.umad_open_port(b"ibsim0", 1)
agent = umad.umad_register(port, 6, 1, 0, None)
assert port >= 0 and agent >= 0, "no port"
rand, statuses = random.Random(1), {}
for _ in range(500):
    sent, buffer = request(rand), ctypes.create_string_buffer(HEADER + MAD)
    ctypes.memmove(ctypes.addressof(buffer) + HEADER, sent, MAD)
    umad.umad_set_addr(buffer, int(sys.argv[1]), 1, 0, QKEY)
    assert umad.umad_send(port, agent, buffer, MAD, 0, 0) == 0, "cannot send"
    # One that wants no answer has a moment to get one.
    answer, length = None, ctypes.c_int(MAD)
    patience = 2000 if check(sent, None) else 5
    if umad.umad_poll(port, patience) == 0 and umad.umad_recv(port, buffer, ctypes.byref(length), 0) >= 0:
        answer = buffer.raw[HEADER:]
        statuses[answer[4:6].hex()] = statuses.get(answer[4:6].hex(), 0) + 1
    wrong = check(sent, answer)
    assert not wrong, f"{sent[:24].hex()}: {wrong}"
assert set(statuses) == {"0000", "0008", "000c", "001c", "0100"}, statuses
print(f"garbage: answers by status: {statuses}")
