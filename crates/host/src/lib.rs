//! The daemon: port 1688, administration, drain and shutdown
