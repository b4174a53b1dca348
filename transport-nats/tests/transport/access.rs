//! Who the client is: each way to say so lets it in, and a wrong one is refused at once, as `Denied`.

use invalidation_core::ErrorKind;
use libtest_mimic::Trial;
use nkeys::KeyPair;

use crate::{
    jwt::Operator,
    stage::{Bed, Setup, builder, fresh_cluster, is_refused, node, trial_on, works},
};

const RIGHT: &str = "p@ss:w/rd%";
const WRONG: &str = "not-the-right-one";

pub(crate) fn trials() -> Vec<Trial> {
    let user = || {
        Setup::new(&format!(
            "authorization {{ user: app, password: \"{RIGHT}\" }}"
        ))
    };
    let token = || Setup::new(&format!("authorization {{ token: \"{RIGHT}\" }}"));
    vec![
        trial_on("a_user_and_password", user, a_user_and_password),
        trial_on("a_token", token, a_token),
        an_nkey(),
        a_credentials_file(),
    ]
}

async fn a_user_and_password(bed: Bed) {
    let (cluster, url) = (fresh_cluster(), bed.server.url());
    let within = url.replace("://", "://app:p%40ss%3Aw%2Frd%25@");
    works(&node(&cluster, &within)).await;
    let apart = builder(&cluster, &url.replace("://", "://app@")).password(RIGHT);
    works(&apart.build().unwrap()).await;
    let both = builder(&cluster, &url).user("app").password(RIGHT);
    works(&both.build().unwrap()).await;
    let wrong = builder(&cluster, &url).user("app").password(WRONG);
    is_refused(wrong, ErrorKind::Denied, &[WRONG]).await;
    is_refused(builder(&cluster, &url), ErrorKind::Denied, &[]).await;
}

async fn a_token(bed: Bed) {
    let (cluster, url) = (fresh_cluster(), bed.server.url());
    let within = url.replace("://", "://p%40ss%3Aw%2Frd%25@");
    works(&node(&cluster, &within)).await;
    works(&builder(&cluster, &url).token(RIGHT).build().unwrap()).await;
    let wrong = builder(&cluster, &url.replace("://", &format!("://{WRONG}@")));
    is_refused(wrong, ErrorKind::Denied, &[WRONG]).await;
}

fn an_nkey() -> Trial {
    let user = KeyPair::new_user();
    let config = format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}",
        user.public_key()
    );
    trial_on(
        "an_nkey",
        move || Setup::new(&config),
        async move |bed: Bed| {
            let (cluster, url) = (fresh_cluster(), bed.server.url());
            let seed = user.seed().unwrap();
            works(&builder(&cluster, &url).nkey_seed(&seed).build().unwrap()).await;
            let other = KeyPair::new_user().seed().unwrap();
            let wrong = builder(&cluster, &url).nkey_seed(&other);
            is_refused(wrong, ErrorKind::Denied, &[&other]).await;
        },
    )
}

fn a_credentials_file() -> Trial {
    let operator = Operator::new();
    let config = operator.config.clone();
    trial_on(
        "a_credentials_file",
        move || Setup::new(&config),
        async move |bed: Bed| {
            let (cluster, url) = (fresh_cluster(), bed.server.url());
            let file = bed.setup.write("app.creds", &operator.credentials);
            let of = builder(&cluster, &url).credentials_file(&file);
            works(&of.build().unwrap()).await;
            let other = Operator::new();
            let file = bed.setup.write("other.creds", &other.credentials);
            let wrong = builder(&cluster, &url).credentials_file(file);
            is_refused(wrong, ErrorKind::Denied, &[&other.seed]).await;
            let absent = builder(&cluster, &url).credentials_file(bed.setup.path("absent"));
            is_refused(absent, ErrorKind::Invalid, &[]).await;
            // It is read at each connect, so that it may be renewed.
            let renewed = bed.setup.write("renewed.creds", "nonsense");
            let of = builder(&cluster, &url).credentials_file(&renewed);
            is_refused(of.clone(), ErrorKind::Invalid, &["nonsense"]).await;
            let node = of.build().unwrap();
            assert!(
                invalidation_core::CacheInvalidationTransport::probe(&node)
                    .await
                    .is_err()
            );
            bed.setup.write("renewed.creds", &operator.credentials);
            works(&node).await;
        },
    )
}
