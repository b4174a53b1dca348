//! Servers that copy another.

use invalidation_core::{ErrorKind, InvalidationLog, ReadRequest};
use invalidation_testbed::Server;
use libtest_mimic::Trial;

use crate::bed::{self, builder, connect, database, eventually, installed, key, url, value};

pub(crate) fn trials() -> Vec<Trial> {
    vec![bed::trial(
        "P4_a_standby_is_refused",
        bed::own,
        |server| async move {
            a_standby_is_refused(&server).await;
        },
    )]
}

/// P4: the snapshots of a standby hide open transactions: it is not read, and says what it is.
async fn a_standby_is_refused(primary: &Server) {
    let database = database(primary).await;
    let log = installed(&url(primary.address(), &database)).await;
    let head = log.head().await.unwrap();
    log.append(&[key("1")]).await.unwrap();
    let standby = Server::standby(primary.address()).unwrap();
    let at_standby = url(standby.address(), &database);
    let mut client = connect(&at_standby).await;
    eventually!("the row is copied", {
        let rows = value(
            &mut client,
            "SELECT count(*)::text FROM cache_invalidation.log",
        )
        .await;
        (rows == "1").then_some(())
    });
    let copy = builder(&at_standby).connect().await.unwrap();
    for (call, e) in [
        ("install", copy.install().await.unwrap_err()),
        ("head", copy.head().await.unwrap_err()),
        (
            "read",
            copy.read(ReadRequest::new(&head, bed::start(1)))
                .await
                .unwrap_err(),
        ),
        ("append", copy.append(&[key("2")]).await.unwrap_err()),
    ] {
        assert_eq!(e.kind, ErrorKind::Unavailable, "{call}: {e}");
        assert!(e.message.contains("standby"), "{call}: {e}");
    }
}
