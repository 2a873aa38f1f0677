"""An eye on the live kernel: its sockets, counters and processes, as tables and host facts."""
