//! Redis and Valkey as the version log and as a transport.
