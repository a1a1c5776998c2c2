"""Blocks with T10 protection information, on stdin and stdout: data of 512 bytes, then guard, application tag and reference tag (SBC-3).

protection.py make LBA: gives blocks of data their information of type 1, as an initiator sends it; the first has this address.
protection.py check LBA [TAG]: fails unless the information of blocks is that of their data and their addresses, or of a fixed reference tag.
protection.py strip: takes it off.
"""

import struct
import sys

DATA, INFORMATION = 512, struct.Struct(">HHI")


def guard(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = crc << 1 ^ (0x18BB7 if crc & 0x8000 else 0)
    return crc


def main(what, lba=None, tag=None):
    block_bytes = DATA if what == "make" else DATA + INFORMATION.size
    lba = int(lba or 0)
    while block := sys.stdin.buffer.read(block_bytes):
        if len(block) != block_bytes:
            sys.exit(f"block {lba} ends after {len(block)} bytes")
        data, information = block[:DATA], block[DATA:]
        expected = INFORMATION.pack(guard(data), 0, int(tag, 0) if tag else lba & 0xFFFFFFFF)
        if what == "check" and information != expected:
            sys.exit(f"block {lba}: expected {expected.hex()}, found {information.hex()}")
        if what != "check":
            sys.stdout.buffer.write(block + expected if what == "make" else data)
        lba += 1


main(*sys.argv[1:])
