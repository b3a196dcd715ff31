"""Key-point detectors for AKD and MKR, apart from the library, which reads only their tables."""
