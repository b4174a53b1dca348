//! An operator, an account and its user, as `nsc` makes them: <https://docs.nats.io/running-a-nats-service/nats_admin/security/jwt>.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;

/// What a server and a user of it are configured with.
pub(crate) struct Operator {
    /// The server's configuration.
    pub(crate) config: String,
    /// The user's credentials file.
    pub(crate) credentials: String,
    /// The seed in it.
    pub(crate) seed: String,
}

impl Operator {
    pub(crate) fn new() -> Self {
        let operator = KeyPair::new_operator();
        let (system, account, user) = (
            KeyPair::new_account(),
            KeyPair::new_account(),
            KeyPair::new_user(),
        );
        let operators = token(&operator, &operator, "operator", "");
        let limits = r#""limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1},"#;
        let systems = token(&operator, &system, "account", limits);
        let accounts = token(&operator, &account, "account", limits);
        let limits = r#""subs":-1,"data":-1,"payload":-1,"pub":{},"sub":{},"#;
        let users = token(&account, &user, "user", limits);
        let (name, system) = (account.public_key(), system.public_key());
        let seed = user.seed().unwrap();
        Self {
            config: format!(
                "operator: {operators}\nresolver: MEMORY\nsystem_account: {system}\n\
                 resolver_preload: {{ {name}: {accounts}, {system}: {systems} }}\n"
            ),
            credentials: format!(
                "-----BEGIN NATS USER JWT-----\n{users}\n------END NATS USER JWT------\n\n\
                 -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
            ),
            seed,
        }
    }
}

fn token(issuer: &KeyPair, subject: &KeyPair, kind: &str, claims: &str) -> String {
    let (from, of) = (issuer.public_key(), subject.public_key());
    let claims = format!(
        r#"{{"jti":"{of}","iat":1700000000,"iss":"{from}","name":"{kind}","sub":"{of}","nats":{{{claims}"type":"{kind}","version":2}}}}"#
    );
    let head = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
