"""Benchmarks: the compiled core alone, and the gateway on the wire against relays that check nothing."""
