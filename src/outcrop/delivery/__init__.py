"""From a build to a revision: what the software layer made goes to the publisher."""
