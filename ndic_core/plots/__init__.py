"""Figures: data in, matplotlib `Figure` out; nothing is read, computed by a model or written here."""
