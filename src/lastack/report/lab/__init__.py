"""What the lab found, for people and programs: pages of text and HTML, rows of JSON, the book."""
