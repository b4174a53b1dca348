//! Hearing all that is logged in this process, through `tracing` and through `log`.

use std::{
    error::Error,
    fmt::{self, Write as _},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::set_global_default,
};

use super::{
    Secrets,
    lines::{self, Watch, add},
};
use crate::Unable;

/// Whether this process is heard, or why not.
static HEARD: OnceLock<Result<(), Unable>> = OnceLock::new();

/// Begins to hear, for the rest of the process, at the finest level, from every thread: cases run on many. A test
/// binary that has a subscriber or a logger of its own keeps it, and is not heard.
pub(crate) fn install() -> Result<(), Unable> {
    let taken = |what: &str| {
        Err(Unable::because(format!(
            "this test binary has {what} of its own, and a process has one: log lines were not looked at"
        )))
    };
    let heard = HEARD.get_or_init(|| {
        if set_global_default(Recorder::default()).is_err() {
            return taken("a tracing subscriber");
        }
        if log::set_logger(&Logger).is_err() {
            return taken("a logger");
        }
        log::set_max_level(log::LevelFilter::Trace);
        Ok(())
    });
    heard.clone()
}

/// Looks for secrets in what is logged.
pub(crate) fn watch(secrets: &Secrets) -> Result<Watch, Unable> {
    install()?;
    Ok(lines::watch(secrets))
}

/// Of `tracing`: events, and the fields of spans, since subscribers print them beside each event.
#[derive(Default)]
struct Recorder {
    spans: AtomicU64,
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line::of(span.metadata());
        span.record(&mut line);
        add(line.0);
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line("span".to_owned());
        values.record(&mut line);
        add(line.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::of(event.metadata());
        event.record(&mut line);
        add(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// `WARN sqlx::query: message="slow" elapsed=1s`
struct Line(String);

impl Line {
    fn of(metadata: &Metadata<'_>) -> Self {
        Self(format!(
            "{} {} {}:",
            metadata.level(),
            metadata.target(),
            metadata.name()
        ))
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {field}={value}");
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut error = Some(value);
        while let Some(shown) = error {
            let _ = write!(self.0, " {field}={shown} {shown:?}");
            error = shown.source();
        }
    }
}

/// Of `log`, which drivers use that do not know `tracing`.
struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        add(format!(
            "{} {}: {}",
            record.level(),
            record.target(),
            record.args()
        ));
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str) -> Secrets {
        Secrets::new(&[text.to_owned()]).expect("there is one")
    }

    /// Whatever way a secret comes into a log line, and on whatever thread, before it is looked for and after.
    #[test]
    fn a_logged_secret_is_found() {
        type Way = fn(&str);
        let ways: [(&str, Way); 6] = [
            ("message", |it| tracing::trace!("connecting to {it}")),
            ("display", |it| tracing::warn!(url = %it, "connecting")),
            (
                "debug",
                |it| tracing::info!(config = ?vec![it], "connecting"),
            ),
            ("span", |it| drop(tracing::debug_span!("connect", url = it))),
            ("error", |it| {
                let error = std::io::Error::other(it.to_owned());
                tracing::error!(error = &error as &dyn Error, "not connected");
            }),
            ("log", |it| log::debug!("connecting to {it}")),
        ];
        install().expect("nobody else is here to hear");
        for (way, write) in ways {
            let before = format!("{way} before, tell nobody");
            write(&before);
            let watch_before = watch(&secrets(&before)).expect("heard");
            assert_eq!(watch_before.found().len(), 1, "{way}");

            let after = format!("{way} after, tell nobody");
            let watch_after = watch(&secrets(&after)).expect("heard");
            assert_eq!(watch_after.found(), Vec::<String>::new(), "{way}");
            std::thread::scope(|scope| scope.spawn(|| write(&after)).join().expect("writes"));
            let found = watch_after.found();
            assert_eq!(found.len(), 1, "{way}");
            assert!(found[0].contains("<the secret>"), "{found:?}");
            assert_eq!(watch_before.found().len(), 1, "{way}: each its own");
        }
    }

    /// However much is logged in between, nothing that comes while somebody looks is lost.
    #[test]
    fn a_flood_hides_nothing() {
        let watch = watch(&secrets("in the flood")).expect("heard");
        tracing::trace!("at first: in the flood");
        let much = "x".repeat(1 << 20);
        for _ in 0..10 {
            tracing::trace!("{much}");
        }
        assert_eq!(watch.found().len(), 1);
    }
}
