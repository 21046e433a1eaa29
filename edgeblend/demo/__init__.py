"""What ``edgeblend demo`` shows: the shipped model and its data, compared and drawn."""
