"""Rules over captures: what both sides of every connection did, as the packets show it."""
