"""Changes of state as the kernel makes them, from whichever interface of the kernel this machine allows."""
