"""Octets and fields: parse once, checksums, rewrites, answers. Knows no flow, no table, no clock."""
