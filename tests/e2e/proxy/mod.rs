//! Proxy mode: segue serves the public address itself, and the program where PORT says.

mod early;
mod life;
mod requests;
mod restarts;

use std::path::Path;

use crate::support::{
    hello, program,
    segue::{As, Recipe},
};

/// Programs that listen where PORT says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// Its http module; dies at once on SIGTERM.
    Node,
    /// Its http.server; dies at once on SIGTERM, closes each connection.
    Python,
    /// The example; drains on SIGTERM.
    Hello,
}

impl Program {
    fn recipe(self, how: As, public: &str) -> Recipe {
        let naive = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/naive.py");
        let line = match self {
            Program::Node => format!("exec node {}", program("proxied.js").display()),
            Program::Python => format!("exec /usr/bin/python3 {} $PORT", naive.display()),
            Program::Hello => format!("exec {} 127.0.0.1:$PORT", hello().display()),
        };
        Recipe::plain(how, ["sh", "-c", &line])
            .set("SEGUE_PROXY", public)
            .set("SEGUE_PROBATION", "20ms")
            .set("WORK", "0.005")
    }
}
