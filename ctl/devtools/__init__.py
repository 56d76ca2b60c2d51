"""Tools for people who change the project; nothing here is needed to run it."""
