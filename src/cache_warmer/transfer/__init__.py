"""Downloads of bodies: parallel range requests into staging files, hashed while they grow, resumed by later runs."""
