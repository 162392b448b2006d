"""One Secret to one target, or to its faults. Pure: knows no cluster and no folder."""
