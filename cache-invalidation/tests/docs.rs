//! What the operator's page says is what the code does.
#![allow(clippy::unwrap_used)] // In tests a panic is the report.

use std::{collections::BTreeSet, fs, path::Path};

/// P19: every metric of the code stands in `docs/operating.md`, and none stands there that does not exist.
#[test]
fn p19_every_metric_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let told = names(
        &fs::read_to_string(root.join("docs/operating.md")).unwrap(),
        '`',
    );
    let mut made = BTreeSet::new();
    for part in [
        "invalidation-core",
        "log-mysql",
        "log-sqlite",
        "transport-etcd",
        "transport-http",
        "transport-nats",
        "transport-pg",
        "transport-redis",
        "cache-invalidation",
    ] {
        collect(&root.join(part).join("src"), &mut made);
    }
    assert!(made.len() > 20, "{made:?}");
    assert_eq!(told, made);
}

/// A plain `cargo build` leaves out what needs `protoc`, and nothing else.
#[test]
fn what_needs_protoc_is_no_default() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let list = |name: &str| {
        let (_, list) = manifest.split_once(&format!("\n{name} = [")).unwrap();
        let names = list
            .split(']')
            .next()
            .unwrap()
            .split('"')
            .skip(1)
            .step_by(2);
        names.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let mut all = list("members");
    assert!(all.remove("transport-etcd"), "{all:?}");
    assert_eq!(list("default-members"), all);
    for member in &all {
        let manifest = fs::read_to_string(root.join(member).join("Cargo.toml")).unwrap();
        let needs = manifest
            .lines()
            .filter(|line| line.contains("etcd") && !line.contains("optional = true"))
            .filter(|line| line.contains("workspace") || line.starts_with("default"));
        assert_eq!(needs.collect::<Vec<_>>(), [""; 0], "{member}");
    }
}

/// The metrics' names in `text` that begin right after `quote`, which is the only way to tell them from tables.
fn names(text: &str, quote: char) -> BTreeSet<String> {
    text.split(quote)
        .map(|piece| piece.split('{').next().unwrap_or_default())
        .filter(|piece| {
            let bare = |c: char| c.is_ascii_lowercase() || c == '_';
            piece.starts_with("cache_invalidation_") && piece.chars().all(bare)
        })
        .map(str::to_owned)
        .collect()
}

fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            for call in ["counter!(", "gauge!(", "histogram!("] {
                for arguments in text.split(call).skip(1) {
                    let name = arguments.trim_start().split('"').nth(1);
                    found.extend(name.map(str::to_owned));
                }
            }
        }
    }
}
