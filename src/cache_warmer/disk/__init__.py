"""What the warmer asks of a file system: room, rights, durable writes, links, locks."""
