"""Physically motivated synthetic patients, so that anybody can start without data."""
