//! The client of a host: one request, one verified answer
