//! A standby and a replica: they follow, and can be promoted.

use invalidation_testbed::{Backend, Error, Server};
use libtest_mimic::{Failed, Trial};

use crate::client::{psql, redis};
use crate::{ensure, eventually, trial, with_client};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "postgres::standby_follows_and_is_promoted",
            primary_and_standby,
            standby_follows,
        ),
        trial(
            "redis::replica_follows_and_is_promoted",
            primary_and_replica,
            replica_follows,
        ),
    ]
}

fn primary_and_standby() -> Result<[Server; 2], Error> {
    with_client(Backend::Postgres, "psql")?;
    let primary = Server::start(Backend::Postgres)?;
    let standby = Server::standby(primary.address())?;
    Ok([primary, standby])
}

fn primary_and_replica() -> Result<[Server; 2], Error> {
    let primary = Server::start(Backend::Redis)?;
    let replica = Server::replica(primary.address())?;
    Ok([primary, replica])
}

fn standby_follows([primary, standby]: [Server; 2]) -> Result<(), Failed> {
    psql(primary.address(), "create table t as select 1 as n")?;
    let count = |expected: &str| match psql(standby.address(), "select count(*) from t") {
        Ok(found) if found == expected => Ok(()),
        Ok(found) => Err(format!("{found} rows")),
        Err(error) => Err(format!("{error:?}")),
    };
    eventually("one row on the standby", || count("1"))?;
    standby.kill()?;
    psql(primary.address(), "insert into t values (2)")?;
    standby.restart()?;
    eventually("two rows on the standby, after its crash", || count("2"))?;
    let written = psql(standby.address(), "insert into t values (3)");
    ensure(written.is_err(), "a standby took a write")?;
    primary.kill()?;
    psql(standby.address(), "select pg_promote()")?;
    psql(standby.address(), "insert into t values (3)")?;
    standby.restart()?; // no longer a standby, and its primary is dead
    Ok(count("3")?)
}

fn replica_follows([primary, replica]: [Server; 2]) -> Result<(), Failed> {
    redis(primary.address(), "SET key one")?;
    eventually("the key on the replica", || {
        match redis(replica.address(), "GET key") {
            Ok(answer) if answer.contains("one") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    let refused = redis(replica.address(), "SET key two")?;
    ensure(
        refused.starts_with("-READONLY"),
        format!("a replica said {refused:?}"),
    )?;
    primary.kill()?;
    replica.restart()?; // its primary is dead
    redis(replica.address(), "REPLICAOF NO ONE")?;
    let taken = redis(replica.address(), "SET key two")?;
    ensure(
        taken.starts_with("+OK"),
        format!("a promoted replica said {taken:?}"),
    )
}
