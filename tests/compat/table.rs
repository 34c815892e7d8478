//! What a row of the matrix says: a server, how it is started and asked, and what a restart of it is to be like.

use std::time::Duration;

use crate::ask::Ask;

/// One server of the matrix. In its texts `{port}`, `{port2}`, `{port3}`, `{upstream}`, `{dir}` and `{venv}` stand for what
/// [`Place`](crate::place::Place) has for this run.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What people call it.
    pub title: &'static str,
    pub package: Package,
    /// The program and its arguments, separated by blanks. It runs in `{dir}`, where the files of `programs/` are.
    pub command: &'static str,
    /// Files to write into `{dir}` first: name and content.
    pub files: &'static [(&'static str, &'static str)],
    /// Lines for a shell, run in `{dir}` first.
    pub prepare: &'static str,
    /// Prints its version; where it cannot, the package's is taken.
    pub version: &'static str,
    pub ask: Ask,
    /// Requests per second over fresh connections.
    pub rate: u32,
    /// Variables beyond PATH, HOME, LANG and what the test itself needs.
    pub settings: &'static [(&'static str, &'static str)],
    pub expects: Expects,
    /// From SIGTERM to the end, without a client.
    pub stops_within: Duration,
}

/// Where the server comes from.
#[derive(Debug, Clone, Copy)]
pub enum Package {
    Debian(&'static str),
    PyPi(&'static str),
}

/// How a restart under the default settings is to come out, without a failed request.
#[derive(Debug, Clone, Copy)]
pub enum Expects {
    /// The new generation starts beside the old one.
    Replaced,
    /// The old one goes first, and the log, or the status, names this evidence.
    StopFirst(&'static str),
    /// Not run yet, and why.
    Later(&'static str),
}

/// What most rows have.
pub const ROW: Row = Row {
    title: "",
    package: Package::Debian(""),
    command: "",
    files: &[],
    prepare: "",
    version: "",
    ask: Ask::Http {
        target: "/",
        body: "hello",
    },
    rate: 200,
    settings: &[],
    expects: Expects::Replaced,
    stops_within: Duration::from_secs(5),
};

/// A page of files that say hello, for servers of files.
pub const PAGE: &str = "mkdir www && echo hello > www/index.html";

/// Rows that run in `make test`.
macro_rules! quick {
    ($($name:ident { $($field:ident: $value:expr),* $(,)? })*) => { $(
        #[test]
        fn $name() {
            let row = $crate::table::Row { $($field: $value,)* ..$crate::table::ROW };
            $crate::run::row(stringify!($name), &row);
        }
    )* };
}

/// Rows that run in `make compat` only.
macro_rules! more {
    ($($name:ident { $($field:ident: $value:expr),* $(,)? })*) => { $(
        #[test]
        #[ignore = "a row that make compat runs"]
        fn $name() {
            let row = $crate::table::Row { $($field: $value,)* ..$crate::table::ROW };
            $crate::run::row(stringify!($name), &row);
        }
    )* };
}
