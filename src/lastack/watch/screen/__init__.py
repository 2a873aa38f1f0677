"""The full-screen view: what is shown of each look, and the application that shows it."""
