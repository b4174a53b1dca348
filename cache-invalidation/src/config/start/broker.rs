//! What the builders of all brokers are told.

use crate::config::{BrokerServers, Unverified};

/// The builder, told where the servers are, and who the node is to them.
macro_rules! reach {
    ($builder:expr, $servers:expr) => {{
        // Every field, so that none is forgotten.
        let $crate::config::BrokerServers {
            url,
            user,
            password,
            ca_file,
            client_certificate,
            insecure_tls,
        } = $servers;
        let mut builder = $builder.url($crate::config::start::text(url)?);
        if let Some(user) = user {
            builder = builder.user(user);
        }
        if let Some(password) = password {
            builder = builder.password($crate::config::start::text(password)?);
        }
        if let Some(file) = ca_file {
            builder = builder.ca_file(file);
        }
        if let Some((certificate, key)) = client_certificate {
            builder = builder.client_certificate(certificate, key);
        }
        if *insecure_tls == Some($crate::config::Unverified::AnyCertificate) {
            builder = builder.insecure_tls();
        }
        builder
    }};
}

/// The builder of a transport, told how frames are sent and taken.
macro_rules! carry {
    ($builder:expr, $frames:expr) => {{
        // Every field, so that none is forgotten.
        let $crate::config::FramesConfig {
            authenticated,
            publish_timeout,
            notices_loss_within,
            buffered_frames,
        } = $frames;
        let mut builder = $builder;
        if *authenticated {
            builder = builder.sender(invalidation_core::Sender::Authenticated);
        }
        if let Some(timeout) = publish_timeout {
            builder = builder.publish_timeout(*timeout);
        }
        if let Some(time) = notices_loss_within {
            builder = builder.notices_loss_within(*time);
        }
        if let Some(frames) = buffered_frames {
            builder = builder.buffered(*frames);
        }
        builder
    }};
}

/// Says once that the links to the servers are not verified, if so.
pub(super) fn warn(of: &'static str, servers: &BrokerServers, verified: &'static str) {
    match servers.insecure_tls {
        None => {}
        Some(Unverified::PlainText) => {
            super::warn_of_weak_tls(of, Some("plain text"), verified);
        }
        Some(Unverified::AnyCertificate) => {
            let verified = "ca_file, which names a certificate authority of your own";
            super::warn_of_weak_tls(of, Some("any certificate"), verified);
        }
    }
}
