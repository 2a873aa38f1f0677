"""The command line: one file a command. Importing it loads nothing that a command may not need."""
