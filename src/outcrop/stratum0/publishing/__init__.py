"""From what comes in to a revision that readers see."""
