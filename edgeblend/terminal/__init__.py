"""What the commands share: text that goes out, signals, exit codes, options of engines."""
