"""Take over models that other programs downloaded: found by layout, verified by content, linked or copied."""
