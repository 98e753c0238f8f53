"""Figures: functions that take data and return a matplotlib `Figure`, without running models or accessing files."""
