"""What ``edgeblend run`` has on disk: its journal, the results made from it, the folder that holds them."""
