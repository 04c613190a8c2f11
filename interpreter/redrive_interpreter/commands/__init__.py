"""What users write: commands, and the functions that build them."""
