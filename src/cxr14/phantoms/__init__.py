"""Phantom radiographs: real records, pixels projected from a real CT."""
