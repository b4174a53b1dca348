//! The HTTP fan-out.

use invalidation_core::{Error, NodeBuilder};
use invalidation_transport_http::HttpTransport;

use crate::config::{Config, HttpConfig};

impl Config {
    pub(super) fn with_http(
        &self,
        builder: NodeBuilder,
        http: &HttpConfig,
    ) -> Result<NodeBuilder, Error> {
        // Every field, so that none is forgotten.
        let HttpConfig {
            listen,
            peers,
            advertise,
            secret,
            second_secret,
            allowed_networks,
            allowed_ports,
            dns_interval,
            publish_timeout,
            body_cap,
            queue_frames,
            subscription_frames,
            header_deadline,
            body_deadline,
            max_unverified,
            max_connections,
            max_sessions,
            sign_of_life,
        } = http.clone();
        let mut transport = HttpTransport::builder(self.cluster.as_str())
            .listen(listen)
            .peers(peers.iter().map(ToString::to_string))
            .insecure(secret.is_none());
        /// Hands on what is configured; the rest keeps the transport's default.
        macro_rules! pass {
            ($($key:ident => $setter:ident),* $(,)?) => {
                $(if let Some(value) = $key {
                    transport = transport.$setter(value);
                })*
            };
        }
        pass!(
            allowed_networks => allow_networks,
            allowed_ports => allow_ports,
            dns_interval => dns_interval,
            publish_timeout => publish_timeout,
            body_cap => body_cap,
            queue_frames => queue_frames,
            subscription_frames => subscription_frames,
            header_deadline => header_deadline,
            body_deadline => body_deadline,
            max_unverified => max_unverified,
            max_connections => max_connections,
            max_sessions => max_sessions,
            sign_of_life => sign_of_life,
        );
        if let Some(address) = advertise {
            transport = transport.advertise(address.to_string());
        }
        if let Some(secret) = secret {
            transport = transport.secret(secret.expose());
        }
        if let Some(secret) = second_secret {
            transport = transport.second_secret(secret.expose());
        }
        Ok(builder.transport(transport.build()?))
    }
}
