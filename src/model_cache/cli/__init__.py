"""What all programs share: options, their parser, and the one edge that turns errors into exit codes."""
