"""Simulators: an EMS, venues with order books, a calibrator."""
