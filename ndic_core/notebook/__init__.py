"""Helpers for the notebooks: set-up, widgets, and a check of the installation."""
