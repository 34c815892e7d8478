//! SETS UP tracing: text for a person at a terminal, else one JSON object per line. Messages are constant, values are
//! fields, times are RFC 3339 in UTC. The module is named (`target`) only for those who filter by module.

use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt};

use super::{spanless::Spanless, stderr::Stderr};

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// Makes this process log. Only the first call counts.
pub fn set_up(form: Form, filter: Targets, names_module: bool) {
    let writer = || Stderr;
    let lines: Box<dyn Layer<_> + Send + Sync> = match form {
        Form::Text => fmt::layer()
            .with_ansi(false)
            .with_target(names_module)
            .with_writer(writer)
            .boxed(),
        Form::Json => {
            let json = fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_target(names_module);
            json.with_writer(writer).boxed()
        }
    };
    let subscriber = Spanless.with(filter).with(lines);
    let first = tracing::subscriber::set_global_default(subscriber).is_ok();
    if first {
        // The default hook writes to stderr and waits for it.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(
                place,
                reason = panic.payload_as_str().unwrap_or("?"),
                "a fault of segue's own"
            );
        }));
    }
}
