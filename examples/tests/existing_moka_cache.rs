//! The example of an attached cache runs to its end.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod program;

use program::example;

/// P3, P5: a `moka` cache brought in by `attach` drops what another node writes, keeps nothing that was overtaken, and
/// serves nothing once the lease lapsed; the program checks each itself.
#[test]
fn it_shows_all_three() {
    let output = example("existing_moka_cache").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{failed}");
    for what in ["attach:", "fence:", "lease:"] {
        assert!(
            told.lines().any(|line| line.starts_with(what)),
            "{what} is missing in\n{told}"
        );
    }
    // What the fence is for: without one, moka keeps the old price.
    assert!(
        told.contains("moka alone keeps what was overtaken"),
        "{told}"
    );
}
