"""What the lab says, in Chinese."""
