"""One training loop for every task; optimizers, schedules, devices, progress, resume."""
