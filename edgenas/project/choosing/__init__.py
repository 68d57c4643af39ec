"""Which space and side of images a project takes, decided by a quick look at all of them on the device."""
