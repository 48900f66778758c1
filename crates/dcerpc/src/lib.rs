//! Connection-oriented DCE/RPC without I/O
