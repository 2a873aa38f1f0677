"""Watching a host: looks at it again and again, and who is told: a screen, Prometheus, a recording."""
