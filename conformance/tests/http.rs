//! The transport suite on HTTP between nodes on loopback.

#[path = "support/http_transport.rs"]
mod http_transport;

use std::process::ExitCode;

use invalidation_conformance::transport_suite;

fn main() -> ExitCode {
    transport_suite(http_transport::HttpTransports).run()
}
