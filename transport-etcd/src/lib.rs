//! etcd as the version log and as a transport.
