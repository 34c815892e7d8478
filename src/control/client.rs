//! ASKS a running segue over its control socket: a line out, a line in. Blocks, for commands have nothing else to do.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use super::protocol::{self, Answer, Command, LONGEST_ANSWER};

/// A segue that answers does so within this.
const PATIENCE: Duration = Duration::from_secs(10);

/// A conversation with a segue.
#[derive(Debug)]
pub struct Client {
    reading: BufReader<UnixStream>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// It has ended.
    #[error("segue has ended")]
    Ended,
    /// The time is over.
    #[error("segue does not answer in time")]
    Late,
    /// It is something else, or another version.
    #[error("{0}")]
    NotUnderstood(String),
    /// The system's reason.
    #[error("{0}")]
    System(io::Error),
}

impl From<io::Error> for Silence {
    fn from(error: io::Error) -> Silence {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
        if [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&error.kind()) {
            Silence::Ended
        } else if [WouldBlock, TimedOut].contains(&error.kind()) {
            Silence::Late
        } else {
            Silence::System(error)
        }
    }
}

impl Client {
    /// Over this connection.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn new(stream: UnixStream) -> io::Result<Client> {
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client {
            reading: BufReader::new(stream),
        })
    }

    /// Asks, and waits for the answer as long as any command but a waiting one takes.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub fn ask(&mut self, command: &Command) -> Result<Answer, Silence> {
        self.ask_for(command, Some(PATIENCE))
    }

    /// Asks, and waits for the answer so long; `None` is as long as it takes.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub fn ask_for(&mut self, command: &Command, wait: Option<Duration>) -> Result<Answer, Silence> {
        self.say(command)?;
        self.hear(wait)
    }

    /// Asks, and waits for nothing.
    ///
    /// # Errors
    ///
    /// It cannot be asked.
    pub fn say(&mut self, command: &Command) -> Result<(), Silence> {
        let line = protocol::request_line(command);
        Ok(self.reading.get_mut().write_all(line.as_bytes())?)
    }

    /// The answer to what was asked.
    ///
    /// # Errors
    ///
    /// There is none within this time, or none at all.
    pub fn hear(&mut self, wait: Option<Duration>) -> Result<Answer, Silence> {
        // Zero would be refused, and is what is left at a deadline.
        let wait = wait.map(|it| it.max(Duration::from_millis(1)));
        self.reading.get_ref().set_read_timeout(wait)?;
        let mut line = Vec::new();
        let most = u64::try_from(LONGEST_ANSWER).unwrap_or(u64::MAX);
        (&mut self.reading).take(most).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(Silence::Ended);
        }
        protocol::answer(line.trim_ascii()).map_err(Silence::NotUnderstood)
    }
}
