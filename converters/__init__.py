"""From a torch network to a bundle."""
