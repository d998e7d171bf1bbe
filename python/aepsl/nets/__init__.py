"""Nets built from settings, their weights, whole images through them, the CRF. Imports layers and below."""
