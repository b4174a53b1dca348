//! The commented file of the examples.

use super::*;

const EXAMPLE: &str = include_str!("../../../../examples/cache-invalidation.toml");

/// With its secret in a file, or each default written out, it is accepted.
#[test]
fn it_is_accepted() {
    let toml = EXAMPLE.replace("/run/secrets/invalidation", "FOLDER/secret");
    let config = read(&toml, &[]).unwrap();
    assert_eq!(config.caches.len(), 1);
    assert!(config.http.unwrap().secret.is_some());
    let written_out = uncommented().replace("/run/secrets/invalidation", "FOLDER/secret");
    let without_insecure_or_secrets = written_out
        .lines()
        .filter(|line| !line.contains("…"))
        .map(|line| line.replace("secret-new", "secret"))
        .collect::<Vec<_>>()
        .join("\n");
    let config = read(&without_insecure_or_secrets, &[]).unwrap();
    assert_eq!(
        config.settings,
        NodeSettings::default(),
        "the defaults in the file are those of the code"
    );
    let http = config.http.unwrap();
    assert_eq!(http.body_cap, Some(1 << 20));
}

/// It shows every key.
#[test]
fn it_shows_every_key() {
    let shown: Vec<_> = uncommented()
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(key, _)| key.to_owned()))
        .collect();
    let tables = [
        &schema::NODE,
        &schema::LOG,
        &schema::SQLITE,
        &schema::POSTGRES,
        &schema::MYSQL,
        &schema::REDIS,
        &schema::NATS,
        &schema::ETCD,
        &schema::HTTP,
        &schema::POSTGRES_TRANSPORT,
        &schema::REDIS_TRANSPORT,
        &schema::NATS_TRANSPORT,
        &schema::ETCD_TRANSPORT,
        &schema::CACHE,
    ];
    for key in tables.iter().flat_map(|table| table.keys) {
        // Of a table that excludes another one, behind two spaces.
        let elsewhere = [format!("[log.{key}]"), format!("\n#  {key} = ")];
        assert!(
            shown.iter().any(|shown| shown == key)
                || elsewhere.iter().any(|text| EXAMPLE.contains(text)),
            "{key}"
        );
    }
}

/// A default or an example that is commented out begins with `#` and no space.
fn uncommented() -> String {
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}
