"""Data sets for trainers, compiled from run folders."""
