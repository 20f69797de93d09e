"""Serve a page on this machine, on which one picks a query and looks at its matches."""
