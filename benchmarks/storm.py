"""A storm of connections on loopback, as fast as it goes or at a rate: what a watch of the host has to keep up with.

Run as `python storm.py PROCESSES SECONDS RATE` in a network namespace of its own (RATE 0: as fast as it goes); prints
one line of JSON. Each process connects to its own listener, accepts, and closes both ends, the connecting end first.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import time

BURST = 20


def storm(address: str, seconds: float, rate: float) -> int:
    """Connections one after the other, `rate` a second (0: without a pause); how many there were."""
    to, made = (address, 7_003), 0
    with socket.create_server(to, backlog=1_024) as listener:
        begun = time.monotonic()
        while (now := time.monotonic()) < begun + seconds:
            if rate and made > rate * (now - begun):
                time.sleep(made / rate - (now - begun))
            for _ in range(BURST):
                client = socket.socket()
                client.connect(to)
                server, _ = listener.accept()
                client.close()
                server.close()
            made += BURST
    return made


def main() -> None:
    processes, seconds, rate = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    ends = []
    for number in range(processes):
        reading, writing = os.pipe()
        if not os.fork():
            made = storm(f"127.0.2.{number + 1}", seconds, rate / processes)
            os.write(writing, str(made).encode())
            os._exit(0)
        os.close(writing)
        ends.append(reading)
    made = sum(int(os.read(end, 64)) for end in ends)
    for _ in ends:
        os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"connections": made, "cpu_s": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    main()
