"""What a sweep costs, before it starts: evaluations counted exactly, their seconds measured in a short calibration."""
