//! Protocols of lines: what the server says first, what it is asked, and what it may say by itself.

use crate::{connection::Connection, tally::Failure};

/// A conversation. Each text that is to come is the beginning of a line.
#[derive(Debug, Clone, Copy)]
pub struct Talk {
    /// What it says first; empty: nothing.
    pub greeting: &'static str,
    /// What is said once, after the greeting.
    pub hello: &'static str,
    /// What it is asked, and what it is to say.
    pub ask: &'static str,
    pub answer: &'static str,
    /// What is said at the end.
    pub quit: &'static str,
    /// May it be asked again over the same connection?
    pub kept: bool,
    /// Lines that it may say at any time, and what it then hears.
    pub unasked: &'static [(&'static str, &'static str)],
    /// The line with which it ends a connection that it has no more time for.
    pub goodbye: &'static str,
}

/// One that is kept, and has nothing special.
pub const TALK: Talk = Talk {
    greeting: "",
    hello: "",
    ask: "",
    answer: "",
    quit: "",
    kept: true,
    unasked: &[],
    goodbye: "",
};

impl Talk {
    pub fn open(&self, connection: &mut Connection) -> Result<(), Failure> {
        if !self.greeting.is_empty() {
            self.expect(connection, self.greeting)?;
        }
        if self.hello.is_empty() {
            Ok(())
        } else {
            connection.send(self.hello.as_bytes())
        }
    }

    /// Asks; does the connection stay open?
    pub fn ask(&self, connection: &mut Connection, last: bool) -> Result<bool, Failure> {
        if !self.ask.is_empty() {
            connection.send(self.ask.as_bytes())?;
            self.expect(connection, self.answer)?;
        }
        if last && !self.quit.is_empty() {
            connection.send(self.quit.as_bytes())?;
        }
        Ok(!last)
    }

    fn expect(&self, connection: &mut Connection, beginning: &str) -> Result<(), Failure> {
        // A server says something by itself now and then only.
        for _ in 0..100 {
            let line = connection.line()?;
            if line.starts_with(beginning) {
                return Ok(());
            }
            if !self.goodbye.is_empty() && line.starts_with(self.goodbye) {
                return Err(Failure::Closed);
            }
            match self.unasked.iter().find(|(beginning, _)| line.starts_with(beginning)) {
                Some((_, "")) => {}
                Some((_, reply)) => connection.send(reply.as_bytes())?,
                None => return Err(Failure::Wrong(line)),
            }
        }
        Err(Failure::Wrong(
            "lines that nobody has asked for, without an end".to_owned(),
        ))
    }
}
