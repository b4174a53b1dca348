//! NATS as a transport and JetStream as the version log.
