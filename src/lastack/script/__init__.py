"""The packetdrill language: scripts of packets and system calls, on the engine in virtual time and on a kernel."""
