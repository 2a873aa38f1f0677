"""What people and programs see of a report: terminal, HTML, JSON and CSV. Each module is imported where it is used."""
