"""The commands of the front door, one file a group. Heavy imports stand inside the functions."""
