//! Traps of JetStream, on a real server.
