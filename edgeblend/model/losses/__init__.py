"""What a network should predict, and how far it is from that."""
