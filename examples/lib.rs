//! Small programs that run: `cargo run --release --example NAME`.
//!
//! | name | shows |
//! | --- | --- |
//! | `quickstart` | three nodes on one database, and what happens to them when everything fails |
//! | `axum_service` | a REST service with a cache that all its instances keep coherent |
//! | `existing_moka_cache` | a `moka` cache that joins in |
//! | `custom_transport` | a transport of your own, and the contract that it keeps |
//!
//! `cache-invalidation.toml` is a configuration with every key explained.
