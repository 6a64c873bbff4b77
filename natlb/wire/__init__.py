"""Octets and fields: parse once, checksums, rewrites, answers. Knows no flow, table or clock."""
