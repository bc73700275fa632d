"""The conformance kit's insides: runs to check, measured convergence, and the checks. Use it through ``testing``."""
