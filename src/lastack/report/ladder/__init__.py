"""One connection's life as a ladder: both states and the segments between them; laid out once, drawn as text or SVG."""
