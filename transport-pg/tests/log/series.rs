//! Pages of one series.

use invalidation_core::{Completeness, Cursor, InvalidationLog, Page, ReadRequest};
use invalidation_testbed::Server;
use invalidation_transport_pg::PgLog;
use libtest_mimic::Trial;

use crate::bed::{self, connect, database, entry, installed, key, run, start, url};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        bed::trial(
            "P4_a_series_taken_over_claims_nothing",
            bed::shared,
            |server| async {
                a_series_taken_over_claims_nothing(server).await;
            },
        ),
        bed::trial("pages_walk_the_index", bed::own, |server| async move {
            pages_walk_the_index(&server).await;
        }),
    ]
}

async fn page(
    log: &PgLog,
    after: &Cursor,
    number: u64,
    series: u64,
) -> (Vec<invalidation_core::Entry>, Cursor, Completeness) {
    let mut request = ReadRequest::new(after, start(number));
    request.series_started = start(series);
    request.max_entries = 2;
    match log.read(request).await.unwrap() {
        Page::Entries {
            entries,
            next,
            complete,
        } => (entries.into_iter().map(entry).collect(), next, complete),
        other => panic!("{other:?}"),
    }
}

/// P4: a series is complete as of its first page; whoever goes on with one that another handle, or an earlier series
/// of his own, has begun is not told that it is complete as of a start of his.
async fn a_series_taken_over_claims_nothing(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let log = installed(&url).await;
    let other = installed(&url).await;
    let head = log.head().await.unwrap();
    let entries = [key("1"), key("2"), key("3"), key("4")];
    log.append(&entries[..3]).await.unwrap();
    let (found, next, complete) = page(&log, &head, 7, 7).await;
    assert_eq!(
        (&found[..], complete),
        (&entries[..2], Completeness::Partial)
    );
    log.append(&entries[3..]).await.unwrap();

    let (found, _, complete) = page(&log, &next, 8, 7).await;
    assert_eq!(
        found,
        entries[2..3],
        "what has come since is not of the series"
    );
    assert_eq!(complete, Completeness::AsOf(start(7)));
    for (log, number) in [(&log, 8), (&other, 7)] {
        let (found, next, complete) = page(log, &next, number, number).await;
        assert_eq!(found, entries[2..3]);
        assert_eq!(complete, Completeness::Partial, "it began before");
        let (found, _, complete) = page(log, &next, number + 1, number).await;
        assert_eq!(found, entries[3..]);
        assert_eq!(complete, Completeness::AsOf(start(number + 1)));
    }
}

/// P20: no page of a long log passes over more of it than it returns, however the planner was told of it.
async fn pages_walk_the_index(server: &Server) {
    let url = url(server.address(), &database(server).await);
    let log = installed(&url).await;
    let mut admin = connect(&url).await;
    run(
        &mut admin,
        "INSERT INTO cache_invalidation.log (cache, scope, items)
         SELECT 'users', 'keys', '[\"1\"]' FROM generate_series(1, 50000)",
    )
    .await;
    for analysed in [false, true] {
        if analysed {
            run(&mut admin, "VACUUM ANALYZE").await;
        }
        let mut cursor = log.head().await.unwrap();
        let before = rows_read(&mut admin).await;
        for round in 0..20 {
            log.append(&[key("1")]).await.unwrap();
            let (found, next, _) = page(&log, &cursor, round + 1, round + 1).await;
            assert_eq!(found.len(), 1);
            cursor = next;
        }
        drop(log.head().await);
        let read = bed::eventually!("the statistics are told", {
            let read = rows_read(&mut admin).await - before;
            (read > 0).then_some(read)
        });
        assert!(read < 1_000, "20 polls read {read} rows of the log");
    }
}

/// How many rows of the log were read, by whatever plan; the sessions tell it once they have been idle.
async fn rows_read(admin: &mut sqlx::PgConnection) -> i64 {
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    bed::value(
        admin,
        "SELECT (seq_tup_read + coalesce(idx_tup_fetch, 0))::text FROM pg_stat_user_tables
         WHERE schemaname = 'cache_invalidation' AND relname = 'log'",
    )
    .await
    .parse()
    .unwrap()
}
