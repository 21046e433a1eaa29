"""How anything is measured: in turns, in a process of its own, on which machine."""
