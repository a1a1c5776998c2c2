"""Records that tell whether a disk kept what it said it has: written through an initiator, compared with the file behind the target.

records.py write DEVICE LOG BLOCK_BYTES SEED    writes until SIGTERM; status 1 if a write, an fdatasync or a read of the device failed
records.py compare FILE LOG BLOCK_BYTES SEED    status 1 if FILE (or a device) holds a block other than it must

Each block is a record: its number, a sequence number that counts its writes, and bytes that follow from these and the seed. Four writers have
every fourth block each. Two write and then call fdatasync, two write with RWF_DSYNC, which the kernel makes FUA. LOG, eight bytes a
block, has the sequence number of the last write that was acknowledged so. A writer has one write under way: a block may hold that one, too,
whole, but nothing older, newer or torn.
"""
import fcntl
import hashlib
import mmap
import os
import random
import signal
import stat
import struct
import sys
import threading
import time

WRITERS = 4
BLOCKS = WRITERS * 16
PAUSE_MAX_S = 0.01  # an emulated CPU has more to do than this
HEADER = struct.Struct("<8sQQQ")  # magic, seed, block, sequence


def record(seed, block, sequence, size):
    header = HEADER.pack(b"srpt-rec", seed, block, sequence)
    return header + hashlib.sha256(header).digest() * (size // 32 - 1)


class Log:
    """Sequence numbers in a file that is mapped, so that it is true at any time, whatever ends the writer."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.numbers = memoryview(mmap.mmap(file.fileno(), BLOCKS * 8)).cast("Q")


def write(device, log_path, size, seed):
    with open(log_path, "ab") as file:
        file.truncate(BLOCKS * 8)
    log, stop, failed = Log(log_path), threading.Event(), []
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    fd = os.open(device, os.O_RDWR | os.O_DIRECT)

    def writer(number):
        memory = mmap.mmap(-1, size)  # aligned
        choose, fua = random.Random(f"{seed} {number}"), number % 2
        while not stop.is_set():
            block = choose.randrange(BLOCKS // WRITERS) * WRITERS + number
            sequence = log.numbers[block] + 1
            memory[:] = record(seed, block, sequence, size)
            written = os.pwritev(fd, [memory], block * size, os.RWF_DSYNC if fua else 0)
            if written != size:
                raise OSError(f"a write of {size} bytes wrote {written}")
            if not fua:
                os.fdatasync(fd)
            log.numbers[block] = sequence
            time.sleep(choose.random() * PAUSE_MAX_S)

    def guarded(number):
        try:
            writer(number)
        except OSError as error:
            failed.append(error)
            print(f"writer {number}: {error}", flush=True)

    threads = [threading.Thread(target=guarded, args=[number]) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{sum(log.numbers)} acknowledged writes")
    return not failed


def compare(path, log_path, size, seed):
    log, good = Log(log_path), True
    fd = os.open(path, os.O_RDONLY)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        wait_for_last_write(fd)
    for block, acknowledged in enumerate(log.numbers):
        found = os.pread(fd, size, block * size)
        allowed = [record(seed, block, acknowledged + more, size) for more in (0, 1)]
        if acknowledged == 0:
            allowed[0] = bytes(size)
        if found not in allowed:
            good = False
            print(f"block {block}: acknowledged: {acknowledged}, but {path} holds {describe(found, seed, block)}")
    print(f"{sum(log.numbers)} acknowledged writes, {sum(map(bool, log.numbers))} of {BLOCKS} blocks written")
    return good


def wait_for_last_write(fd):
    """The target's lock goes with its last write in the kernel, which may be a little later than the target."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def describe(found, seed, block):
    magic, of_seed, of_block, sequence = HEADER.unpack(found[: HEADER.size])
    if not any(found):
        return "zeroes"
    if (magic, of_seed, of_block) != (b"srpt-rec", seed, block):
        return "no record of it"
    whole = "" if found == record(seed, block, sequence, len(found)) else "a torn "
    return f"{whole}{sequence}"


command, path, log_path, size, seed = sys.argv[1:]
sys.exit(not {"write": write, "compare": compare}[command](path, log_path, int(size), int(seed)))
