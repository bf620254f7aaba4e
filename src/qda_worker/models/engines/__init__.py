"""What computes the encoder layers of a transformer (`base`), and the choice of the fastest on a CPU (`selection`)."""
