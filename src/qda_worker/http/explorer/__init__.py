"""The page of the HTTP port on which its methods are tried in a browser."""
