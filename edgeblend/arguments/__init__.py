"""What callers hand in: values are checked where they come in, and callbacks keep their own errors."""
