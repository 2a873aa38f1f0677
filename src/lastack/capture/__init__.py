"""What captures tell: every TCP connection on the wire, from files to decoded packets to lives."""
