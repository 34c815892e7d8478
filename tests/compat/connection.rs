//! A client's connection, on which every step has a time limit and every kind of end is distinguished.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::tally::Failure;

/// Longer than any answer takes, and any restart in which clients wait.
const TIMEOUT: Duration = Duration::from_secs(20);
/// No line of an answer is longer.
const LONGEST_LINE: u64 = 64 * 1024;

/// One connection to the server.
pub struct Connection {
    stream: BufReader<TcpStream>,
    /// Has a byte of the answer to the last request come?
    begun: bool,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Connection, Failure> {
        let open = || {
            let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = open().map_err(|error| Failure::of(&error, false))?;
        Ok(Connection {
            stream: BufReader::new(stream),
            begun: false,
        })
    }

    pub fn begun(&self) -> bool {
        self.begun
    }

    /// Sends a request in one piece; what comes from now on is its answer.
    pub fn send(&mut self, request: &[u8]) -> Result<(), Failure> {
        self.begun = false;
        let sent = self.stream.get_mut().write_all(request);
        sent.map_err(|error| Failure::of(&error, false))
    }

    /// The next line, with its end.
    pub fn line(&mut self) -> Result<String, Failure> {
        self.look()?;
        let mut line = Vec::new();
        let read = (&mut self.stream).take(LONGEST_LINE).read_until(b'\n', &mut line);
        read.map_err(|error| Failure::of(&error, true))?;
        if line.ends_with(b"\n") {
            Ok(String::from_utf8_lossy(&line).into_owned())
        } else {
            Err(Failure::Truncated)
        }
    }

    /// So many bytes.
    pub fn exactly(&mut self, count: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; count];
        if count > 0 {
            self.look()?;
            let read = self.stream.read_exact(&mut bytes);
            read.map_err(|error| Failure::of(&error, true))?;
        }
        Ok(bytes)
    }

    /// All that comes until the server ends the connection.
    pub fn rest(&mut self) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let read = self.stream.read_to_end(&mut bytes);
        read.map_err(|error| Failure::of(&error, self.begun))?;
        Ok(bytes)
    }

    /// Waits until there is something to read.
    fn look(&mut self) -> Result<(), Failure> {
        let there = self.stream.fill_buf().map(|bytes| !bytes.is_empty());
        match there.map_err(|error| Failure::of(&error, self.begun))? {
            true => self.begun = true,
            false if self.begun => return Err(Failure::Truncated),
            false => return Err(Failure::Closed),
        }
        Ok(())
    }
}
