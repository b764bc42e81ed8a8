"""The training engine: optimizers, schedules, averages, precision, and a state that resumes within an epoch."""
