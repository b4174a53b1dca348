//! How well the link to a server is protected.

/// How well the link that a URL leads to is protected, as its backend reads the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// It stays on this host: a socket, or a loopback address.
    Local,
    /// It is encrypted, and the certificate is that of the host.
    Verified,
    /// Anything less, which this names in the driver's word: somebody in between can read along, or be the server.
    Weak(&'static str),
    /// Nothing is said, and the driver would take what the server offers, plain text as well.
    Unsaid,
}

/// Whether a URL's host is this one: `localhost`, or a loopback address, with or without brackets. Other names are not
/// looked up.
pub fn stays_on_host(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether a URL says one of these options, behind its `?`.
pub fn says_option(url: &str, names: &[&str]) -> bool {
    url.split_once('?').is_some_and(|(_, options)| {
        options
            .split(['&', '#'])
            .filter_map(|option| option.split_once('='))
            .any(|(name, _)| names.contains(&name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart() {
        for here in [
            "localhost",
            "LOCALHOST",
            "127.0.0.2",
            "::1",
            "[::1]",
            "::ffff:127.0.0.1",
        ] {
            assert!(stays_on_host(here), "{here}");
        }
        for elsewhere in [
            "",
            "db",
            "localhost.evil",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "127.0.0.1.evil",
        ] {
            assert!(!stays_on_host(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn options_are_found_by_their_names() {
        let says = |url| says_option(url, &["tls", "ssl"]);
        for url in ["x://h/?tls=1", "x://h/?a=b&ssl=", "x://h?ssl=1#a"] {
            assert!(says(url), "{url}");
        }
        for url in [
            "x://h/tls=1",
            "x://h/?a=tls",
            "x://h/?notls=1",
            "x://h/?TLS=1",
        ] {
            assert!(!says(url), "{url}");
        }
    }
}
