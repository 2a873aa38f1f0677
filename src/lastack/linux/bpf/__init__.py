"""BPF without a compiler: the kernel's own types, an assembler, and what loads and attaches its programs.

Standard library only. Programs find the fields of the kernel's structures by its BTF when they are assembled, so one
source fits every kernel that has those fields.
"""
