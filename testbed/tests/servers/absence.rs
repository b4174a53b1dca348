//! An absent server is reported as ignored, with the reason; as failed when it is required.

use std::process::{Command, Output};

use libtest_mimic::{Failed, Trial};

use crate::ensure;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("absence::is_reported_as_ignored", is_ignored),
        Trial::test("absence::of_a_required_server_fails", required_fails),
        Trial::test("absence::of_another_server_does_not_fail", other_is_ignored),
    ]
}

/// A trial of Redis, in a process that finds no program.
fn without_servers(required: &str) -> Result<Output, Failed> {
    Ok(Command::new(std::env::current_exe()?)
        .args(["redis::restarts_on_the_same_port", "--exact"])
        .env("PATH", "/nonexistent")
        .env("REQUIRE_BACKENDS", required)
        .output()?)
}

fn is_ignored() -> Result<(), Failed> {
    let output = without_servers("")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let reason = "redis is absent, because `redis-server` is neither in PATH";
    ensure(output.status.success(), format!("it failed: {text}"))?;
    ensure(text.contains(reason), format!("no reason in: {text}"))?;
    ensure(
        text.contains("0 passed; 0 failed; 1 ignored"),
        format!("not ignored: {text}"),
    )
}

fn required_fails() -> Result<(), Failed> {
    let output = without_servers("postgres,redis")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure(!output.status.success(), format!("it did not fail: {text}"))?;
    ensure(
        text.contains("0 passed; 1 failed; 0 ignored"),
        format!("not failed: {text}"),
    )?;
    ensure(
        text.contains("install the Debian package redis-server"),
        format!("no advice: {text}"),
    )
}

fn other_is_ignored() -> Result<(), Failed> {
    let output = without_servers("postgres")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure(
        text.contains("0 passed; 0 failed; 1 ignored"),
        format!("not ignored: {text}"),
    )
}
