//! How a server is asked, and what it is to answer.

use crate::{connection::Connection, dns, http, place::Place, talk::Talk, tally::Failure};

/// The protocol, the question and the answer.
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    /// A GET whose answer is 200 with this body, blanks at its end aside.
    Http {
        target: &'static str,
        body: &'static str,
    },
    /// A GET whose answer is 200 with these words somewhere.
    Page {
        target: &'static str,
        words: &'static str,
    },
    Talk(Talk),
    /// What is sent, and with what the answer begins.
    Bytes {
        send: &'static [u8],
        answer: &'static [u8],
        kept: bool,
    },
    /// The address of a name, over TCP.
    Dns {
        name: &'static str,
        address: [u8; 4],
    },
}

impl Ask {
    /// May a client keep its connection?
    pub fn keeps(&self) -> bool {
        match self {
            Ask::Http { .. } | Ask::Page { .. } | Ask::Dns { .. } => true,
            Ask::Talk(talk) => talk.kept,
            Ask::Bytes { kept, .. } => *kept,
        }
    }

    /// A new connection, greeted.
    pub fn open(&self, place: &Place) -> Result<Connection, Failure> {
        let mut connection = Connection::open(place.address())?;
        if let Ask::Talk(talk) = self {
            talk.open(&mut connection)?;
        }
        Ok(connection)
    }

    /// One request; does the connection stay open?
    pub fn ask(&self, connection: &mut Connection, place: &Place, last: bool) -> Result<bool, Failure> {
        match self {
            Ask::Http { target, body } => {
                let (found, open) = http::get(connection, &place.fill(target), last)?;
                is(&found, |found| found.trim_end() == *body).map(|()| open)
            }
            Ask::Page { target, words } => {
                let (found, open) = http::get(connection, &place.fill(target), last)?;
                is(&found, |found| found.contains(words)).map(|()| open)
            }
            Ask::Talk(talk) => talk.ask(connection, last),
            Ask::Bytes { send, answer, kept } => {
                connection.send(send)?;
                let found = connection.exactly(answer.len())?;
                if found == *answer {
                    Ok(*kept)
                } else {
                    Err(Failure::Wrong(format!("{found:02x?}")))
                }
            }
            Ask::Dns { name, address } => dns::ask(connection, name, *address).map(|()| true),
        }
    }

    /// One request over a connection of its own.
    pub fn once(&self, place: &Place) -> Result<(), Failure> {
        let mut connection = self.open(place)?;
        self.ask(&mut connection, place, true).map(drop)
    }
}

fn is(found: &[u8], right: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let found = String::from_utf8_lossy(found);
    if right(&found) {
        Ok(())
    } else {
        Err(Failure::Wrong(found.chars().take(200).collect()))
    }
}
