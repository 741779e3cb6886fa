"""Attempts to get at what is not to be had: secrets, rights, operators, unencrypted or unauthenticated ways in."""
