//! A pooler in transaction mode in between.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use invalidation_core::InvalidationLog;
use invalidation_testbed::{Backend, Error, Server};
use invalidation_transport_pg::PgLog;
use libtest_mimic::Trial;
use sqlx::{AssertSqlSafe, Row};

use crate::bed::{self, builder, connect, database, drain, key, url};

const CLIENTS: usize = 20;
const ROUNDS: usize = 100;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        bed::trial(
            "no_client_gets_anothers_answer",
            start,
            |pooler| async move {
                no_client_gets_anothers_answer(pooler).await;
            },
        ),
        bed::trial(
            "the_extended_protocol_gives_others_answers",
            start,
            |pooler| async move {
                the_extended_protocol_gives_others_answers(pooler).await;
            },
        ),
    ]
}

fn start() -> Result<&'static Server, Error> {
    invalidation_testbed::shared(Backend::Pgbouncer)
}

/// P1, P4: each of many clients, whose statements differ, reads its own log and no other's through one pooler; that
/// there is one is found out.
async fn no_client_gets_anothers_answer(pooler: &Server) {
    let postgres = bed::shared().unwrap();
    let url = url(pooler.address(), &database(postgres).await);
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let log: PgLog = builder(&url)
            .schema(format!("client_{client}"))
            .connect_later()
            .unwrap();
        log.install().await.unwrap();
        clients.push(tokio::spawn(async move {
            let mut cursor = log.head().await.unwrap();
            for round in 0..ROUNDS {
                let entry = key(&format!("{client}/{round}"));
                log.append(std::slice::from_ref(&entry)).await.unwrap();
                let (found, next) = drain(&log, &cursor).await.unwrap();
                assert_eq!(found, [entry], "client {client} reads what it appended");
                cursor = next;
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
}

/// The scene is one in which answers go astray: what the log must not do is done beside it.
async fn the_extended_protocol_gives_others_answers(pooler: &Server) {
    let postgres = bed::shared().unwrap();
    let url = Arc::new(url(pooler.address(), &database(postgres).await));
    let astray = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (url, astray) = (Arc::clone(&url), Arc::clone(&astray));
            tokio::spawn(async move {
                let mut connection = connect(&url).await;
                for _ in 0..ROUNDS {
                    let sql = format!("SELECT '{client}'::text");
                    let answer = sqlx::query(AssertSqlSafe(sql))
                        .persistent(false)
                        .fetch_one(&mut connection)
                        .await;
                    if !answer.is_ok_and(|row| row.get::<String, _>(0) == client.to_string()) {
                        astray.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert!(astray.load(Ordering::Relaxed) > 0, "every answer was right");
}
