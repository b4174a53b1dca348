//! The page itself.

use std::{fmt::Write as _, sync::Arc};

use cache_invalidation::{
    CacheInvalidationTransport, InvalidationLog, LogCapabilities, ReadConsistency,
    TransportCapabilities,
};

use crate::{logs, transports};

/// What writes the page anew.
pub(crate) const COMMAND: &str =
    "cargo test -p cache-invalidation --all-features --test capabilities";

const HEAD: &str = "# What each backend promises

What the code claims of itself: the columns come from `capabilities()`, the sentences from
`cache-invalidation/tests/capabilities`, and a test compares this page with both. The promises are those of
[design.md](design.md). All of them hold with every backend, but for what is said here.

";

const TRANSPORTS: &str = "
## Transports

No promise depends on a transport (`P15`). Each tells of what it loses by a gap, upon which a node reads its log; what a
transport cannot tell of, the node finds by the numbers of the next frames, or with its next poll.

";

pub(crate) fn generate(
    logs: &[(Arc<dyn InvalidationLog>, logs::Words)],
    transports: &[(Arc<dyn CacheInvalidationTransport>, transports::Words)],
) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("## Logs\n\n");
    row(
        &mut page,
        &[
            "log",
            "joins a transaction (`P2`)",
            "reads (`P3`)",
            "keeps what it acknowledged (`P1`)",
            "shared across hosts",
            "forgets (`P13`)",
        ],
    );
    row(&mut page, &["---"; 6]);
    for (log, words) in logs {
        let LogCapabilities {
            transactional,
            reads,
            keeps_acknowledged,
            shared_across_hosts,
            ..
        } = log.capabilities();
        let joined = match (transactional, words.joined_by) {
            (true, Some(by)) => format!("yes: {by}"),
            (false, Some(by)) => format!("no, but {by}"),
            (joins, None) => yes(joins).to_owned(),
        };
        row(
            &mut page,
            &[
                &title(words),
                &joined,
                consistency(reads),
                yes(keeps_acknowledged),
                yes(shared_across_hosts),
                words.forgets,
            ],
        );
    }
    page.push_str("\n### What is weaker, and why\n\n");
    for (_, words) in logs {
        weaker(&mut page, words, logs);
    }
    page.push_str(TRANSPORTS);
    row(
        &mut page,
        &[
            "transport",
            "largest frame",
            "echoes",
            "acknowledges",
            "unicast",
            "notices a loss within",
            "`Ok` means",
            "cannot tell of",
        ],
    );
    row(&mut page, &["---"; 8]);
    for (transport, words) in transports {
        let TransportCapabilities {
            max_frame,
            echoes,
            acknowledges,
            unicast,
            notices_loss_within,
            ..
        } = transport.capabilities();
        row(
            &mut page,
            &[
                &format!("`{}`", words.transport),
                &format!("{max_frame} bytes"),
                yes(echoes),
                yes(acknowledges),
                yes(unicast),
                &format!("{notices_loss_within:?}"),
                words.ok_means,
                words.silent,
            ],
        );
    }
    let _ = write!(page, "\nTo write this page anew: `WRITE=1 {COMMAND}`.\n");
    page
}

/// What is weaker with a log, and for a setting of it what that changes.
fn weaker(
    page: &mut String,
    words: &logs::Words,
    logs: &[(Arc<dyn InvalidationLog>, logs::Words)],
) {
    let is_base = |other: &logs::Words| other.log == words.log && other.with.is_empty();
    let base = logs.iter().map(|(_, other)| other).find(|it| is_base(it));
    let base = base.filter(|_| !words.with.is_empty());
    let mut said = Vec::new();
    for (promise, why) in words.weaker() {
        let before = base.and_then(|base| base.weaker().into_iter().find(|it| it.0 == promise));
        match (before, why) {
            (Some(before), why) if before.1 == why => {}
            (Some(_), None) => said.push((promise, "holds.")),
            (_, Some(why)) => said.push((promise, why)),
            (None, None) => {}
        }
    }
    let title = title(words);
    let _ = match (base, said.is_empty()) {
        (Some(base), _) => writeln!(page, "- **{title}**: as `{}`, but", base.log),
        (None, true) => writeln!(page, "- **{title}**: nothing."),
        (None, false) => writeln!(page, "- **{title}**"),
    };
    for (promise, why) in said {
        let _ = writeln!(page, "  - `{promise}`: {why}");
    }
}

fn title(words: &logs::Words) -> String {
    match words.with {
        "" => format!("`{}`", words.log),
        with => format!("`{}`, {with}", words.log),
    }
}

fn row(page: &mut String, cells: &[&str]) {
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

const fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

const fn consistency(reads: ReadConsistency) -> &'static str {
    match reads {
        ReadConsistency::Linearizable => "linearizable",
        ReadConsistency::SinglePrimary => "linearizable while there is one primary",
        ReadConsistency::MayBeStale => "may be stale",
    }
}
