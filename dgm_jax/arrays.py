"""Small things done with arrays in many places."""
