//! Code generated from proto/: peer and admin services
