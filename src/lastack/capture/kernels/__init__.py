"""Loops over flat sequences of integers: pure functions, the same source compiled by Numba or run as plain Python.

What a kernel may use: integers, the functions of `octets`, other functions of this package, module constants that are
integers, and flat sequences that it is given (`uint8` to read, `int64` to read and write). Plain Python integers do not
wrap and Numba's do, so whatever could pass 2^63 is masked before it gets there. No NumPy, no objects, no exceptions.

A kernel that calls others takes addresses (`array.ctypes.data`, an `int64` in its signature) and reads and writes with
`octets.get` and `octets.put` alone, which take sequences as well: Numba counts an array that is passed on in and out
at every call, atomically, and that made decoding four times slower.
"""
