"""The diagnosis: reads connection tables and host facts, and nothing else, and says what is wrong and why."""
