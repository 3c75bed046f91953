"""The trainer: learns layer specs offline, with PyTorch."""
