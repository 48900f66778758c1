//! sled opened the one right way: the durable barrier, identity, format
