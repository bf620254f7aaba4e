"""The complete workflow on one machine, from a catalog to answered calls: `make demo`."""
