"""The kernel's plumbing: netlink, network namespaces, sysctls. Nothing here knows what a connection is."""
