"""Numerical kernels: pure functions of arrays, compiled when first called."""
