"""Files and folders: written whole or not at all, and what other systems make of them."""
