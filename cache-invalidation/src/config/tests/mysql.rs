//! `[log.mysql]`.

use super::*;

fn log(toml: &str, variables: &[(&str, &str)]) -> MySqlConfig {
    match read(toml, variables).unwrap().log {
        LogChoice::MySql(mysql) => mysql,
        other => panic!("{other:?}"),
    }
}

/// The address and the options of the MySQL log; its password comes from a file or a variable.
#[test]
fn the_log_is_read() {
    let toml = "cluster = 'x'
        [log]
        url = 'mysql://app@db/billing?ssl-mode=VERIFY_IDENTITY'
        [log.mysql]
        database = 'billing_cache'
        password_file = 'FOLDER/secret'";
    let read_from_file = log(toml, &[]);
    assert_eq!(read_from_file.database.as_deref(), Some("billing_cache"));
    assert_eq!(read_from_file.password.unwrap().expose(), SECRET.as_bytes());
    let url = "CACHE_INVALIDATION__LOG__URL";
    let by_variable = log(
        "cluster = 'x'",
        &[(url, "mariadb://app:hunter2@db/billing")],
    );
    assert!(!format!("{by_variable:?}").contains("hunter2"));
    refused(
        "cluster = 'x'\nlog.url = 'mysql://db/b'\nlog.mysql.password = 'hunter2'",
        &["does not stand in the configuration itself"],
    );
    refused(
        &format!("{MINIMAL}[log.mysql]\ndatabase = 'x'"),
        &["`log.mysql`"],
    );
}

/// A link to another host is verified, unless the file calls it insecure and says how.
#[test]
fn a_link_is_verified_or_called_insecure() {
    let with = |url: &str, more: &str| {
        format!("cluster = 'x'\nlog.url = 'mysql://{url}'\n[log.mysql]\n{more}")
    };
    for (address, becomes) in [
        ("db/b", "mysql://db/b?ssl-mode=VERIFY_IDENTITY"),
        (
            "db/b?charset=utf8mb4",
            "mysql://db/b?charset=utf8mb4&ssl-mode=VERIFY_IDENTITY",
        ),
        (
            "db/b?ssl-mode=VERIFY_IDENTITY",
            "mysql://db/b?ssl-mode=VERIFY_IDENTITY",
        ),
        ("localhost/b", "mysql://localhost/b"),
    ] {
        let read = log(&with(address, ""), &[]);
        assert_eq!(read.url.expose(), becomes.as_bytes());
        assert_eq!(read.insecure_tls, None);
    }
    for mode in ["DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA"] {
        let weak = format!("10.0.0.1/b?ssl-mode={mode}");
        refused(
            &with(&weak, ""),
            &[
                "c.toml:2: `log.url`",
                &format!("ssl-mode={mode}"),
                "use ssl-mode=VERIFY_IDENTITY",
                "`log.mysql.insecure_tls = true`",
            ],
        );
        let insecure = log(&with(&weak, "insecure_tls = true"), &[]);
        assert_eq!(insecure.insecure_tls, Some(mode));
    }
    refused(
        &with("db/b", "insecure_tls = true"),
        &[
            "c.toml:4: `log.mysql.insecure_tls`",
            "does not say how insecure",
        ],
    );
    refused(
        &with("db/b?ssl-mode=VERIFY_IDENTITY", "insecure_tls = true"),
        &["the connection is verified: take it out"],
    );
}
