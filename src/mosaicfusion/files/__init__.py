"""Files and folders on this machine or in an object store, written completely or not at all."""
