"""Which versions of the libraries find the models of our cache (`make library-matrix`, docs/libraries.md)."""
