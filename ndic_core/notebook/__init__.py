"""What the notebooks call: set-up, widgets, and a check of the installation."""
