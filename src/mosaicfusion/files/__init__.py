"""Files and folders, here or in an object store: whole or not there."""
