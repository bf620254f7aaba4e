"""What is measured by itself, apart from the tests."""
