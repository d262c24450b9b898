"""What runs specserve somewhere, and watches it there."""
