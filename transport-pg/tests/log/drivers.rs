//! Transactions of another driver than the log's own, as `docs/recipes.md` shows them.

use std::time::Duration;

use invalidation_core::{Cache, Error, ErrorKind, Node, Pending};
use invalidation_testbed::Server;
use libtest_mimic::Trial;
use tokio_postgres::{Client, NoTls, Transaction};

use crate::bed::{self, builder, database, eventually, url};

pub(crate) fn trials() -> Vec<Trial> {
    vec![bed::trial(
        "P2_P6_a_transaction_of_tokio_postgres_joins",
        bed::shared,
        |server| async {
            a_transaction_of_tokio_postgres_joins(server).await;
        },
    )]
}

/// The recipe: the statement runs in the transaction, and must change as many rows as it says.
async fn invalidate_in(
    transaction: &Transaction<'_>,
    cache: &Cache<i64, i64>,
    node: &Node,
    key: i64,
) -> Result<Pending, Error> {
    let (statement, pending) = node.changes().keys(cache, [&key]).statement()?;
    let inserted = transaction
        .execute(&statement.sql, &[&statement.parameter])
        .await;
    match inserted {
        Ok(rows) if rows == statement.rows => Ok(pending),
        // The log is in another database, or its server was restarted a moment ago: roll back.
        Ok(_) => Err(Error::new(
            ErrorKind::Unavailable,
            "tokio-postgres",
            "invalidate_in",
            "nothing was appended: roll back and try again",
        )),
        Err(error) => Err(Error::new(
            ErrorKind::Other,
            "tokio-postgres",
            "invalidate_in",
            "the append failed: roll back",
        )
        .with_source(error)),
    }
}

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(async move { connection.await.unwrap() });
    client
}

/// P2, P6: what joined a transaction is gone here when its commit returns, and soon elsewhere; what was rolled back was
/// never there; a transaction on another database is found out. A function of the log's does without the node.
async fn a_transaction_of_tokio_postgres_joins(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let start = async || {
        let log = builder(&url).connect().await.unwrap();
        let node = Node::builder("drivers").log(log).start().await.unwrap();
        let cache: Cache<i64, i64> = node.cache("users").build().unwrap();
        (node, cache)
    };
    let (node, here) = start().await;
    let (other, there) = start().await;
    let load = async |cache: &Cache<i64, i64>, value: i64| {
        let loaded = cache.get_or_load(&1, async || Ok::<_, std::io::Error>(value));
        loaded.await.unwrap()
    };
    let mut client = client(&url).await;
    client
        .batch_execute("CREATE TABLE users (id bigint PRIMARY KEY, name text); INSERT INTO users VALUES (1, 'a')")
        .await
        .unwrap();
    assert_eq!((load(&here, 1).await, load(&there, 1).await), (1, 1));

    let transaction = client.transaction().await.unwrap();
    let pending = invalidate_in(&transaction, &here, &node, 1).await.unwrap();
    transaction.rollback().await.unwrap();
    pending.rolled_back();
    // Only what is in the log reaches the other one, and this comes after it.
    let log_rows = "SELECT count(*) FROM cache_invalidation.log";
    let rows: i64 = client.query_one(log_rows, &[]).await.unwrap().get(0);
    assert_eq!((rows, load(&there, 2).await), (0, 1));

    load(&here, 1).await;
    let transaction = client.transaction().await.unwrap();
    transaction
        .execute("UPDATE users SET name = $1 WHERE id = $2", &[&"b", &1_i64])
        .await
        .unwrap();
    let pending = invalidate_in(&transaction, &here, &node, 1).await.unwrap();
    pending.commit(transaction.commit()).await.unwrap();
    assert_eq!(load(&here, 3).await, 3, "it is gone here at once");
    eventually!("it is gone there", {
        (load(&there, 3).await == 3).then_some(())
    });

    let transaction = client.transaction().await.unwrap();
    transaction
        .execute("SELECT cache_invalidation.keys('users', $1)", &[&"1"])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    eventually!("both are told by the log", {
        (load(&here, 4).await == 4 && load(&there, 4).await == 4).then_some(())
    });

    let elsewhere = bed::url(server.address(), &database(server).await);
    let mut foreign = self::client(&elsewhere).await;
    let transaction = foreign.transaction().await.unwrap();
    assert!(invalidate_in(&transaction, &here, &node, 1).await.is_err());
    transaction.rollback().await.unwrap();
    node.shutdown(Duration::from_secs(5)).await.unwrap();
    other.shutdown(Duration::from_secs(5)).await.unwrap();
}
