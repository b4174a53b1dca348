//! Which backends are compiled in.

/// A backend that cargo may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Sqlite,
    Postgres,
    MySql,
    Http,
    Redis,
    Nats,
    Etcd,
}

impl Backend {
    /// Its name, its cargo feature, and whether that is on.
    const fn parts(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::Sqlite => ("SQLite", "sqlite", cfg!(feature = "sqlite")),
            Self::Postgres => ("Postgres", "postgres", cfg!(feature = "postgres")),
            Self::MySql => ("MySQL", "mysql", cfg!(feature = "mysql")),
            Self::Http => ("HTTP", "http", cfg!(feature = "http")),
            Self::Redis => ("Redis", "redis", cfg!(feature = "redis")),
            Self::Nats => ("NATS", "nats", cfg!(feature = "nats")),
            Self::Etcd => ("etcd", "etcd", cfg!(feature = "etcd")),
        }
    }

    /// As people call it.
    pub(super) const fn name(self) -> &'static str {
        self.parts().0
    }

    /// Its cargo feature, which is also the name of its tables.
    pub(super) const fn key(self) -> &'static str {
        self.parts().1
    }

    /// Whether it is there; otherwise what to do. `part` is `log` or `transport`.
    pub(super) fn check(self, part: &str) -> Result<(), String> {
        let (name, feature, is_here) = self.parts();
        if is_here {
            return Ok(());
        }
        let needs = match self {
            Self::Etcd => {
                ", whose build needs `protoc` (in Debian the packages protobuf-compiler and libprotobuf-dev)"
            }
            _ => "",
        };
        Err(format!(
            "the {name} {part} is not compiled in: enable the cargo feature `{feature}`{needs}"
        ))
    }
}
