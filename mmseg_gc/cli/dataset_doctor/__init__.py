"""What is wrong with a data set, and settings that fit it."""
